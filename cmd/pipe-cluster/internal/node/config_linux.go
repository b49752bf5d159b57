package node

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/control"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// object is a JSON object, which is also valid YAML.
type object map[string]any

// Socket returns the path of the socket of containerd.
func Socket(d home.Dir) string { return filepath.Join(d.Run(), "containerd.sock") }

// writeConfigs writes the configurations of containerd, the CNI plugins, the kubelet and kube-proxy.
func writeConfigs(d home.Dir, c home.Config) error {
	for _, dir := range []string{
		d.Path("node", "cni"), d.Path("node", "certs.d"), d.Path("node", "flexvolumes"), d.Path("kubelet"),
		d.Path("containerd"), d.Path("logs", "pods"), d.Volumes(),
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	dns, err := control.ServiceIP(c.ServiceCIDR, control.DNS)
	if err != nil {
		return err
	}
	containerd, err := containerdConfig(d)
	if err != nil {
		return err
	}
	cni, err := cniConfig(d, c)
	if err != nil {
		return err
	}
	host, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for file, content := range map[string]any{
		"containerd.toml":      containerd,
		"cni/10-pipe.conflist": cni,
		"kubelet.json":         kubeletConfig(d, c, dns),
		"kube-proxy.json":      proxyConfig(d, c),
		"resolv.conf":          resolvConf(string(host), dns),
	} {
		b, isText := []byte(nil), false
		if text, ok := content.(string); ok {
			b, isText = []byte(text), true
		}
		if !isText {
			if b, err = json.MarshalIndent(content, "", "  "); err != nil {
				return err
			}
		}
		if err := home.WriteFile(d.Path("node", file), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// containerdConfig writes version 2 of the format, which containerd 1.6 to 2.x can all read.
func containerdConfig(d home.Dir) (string, error) {
	runc, err := find("runc")
	if err != nil {
		return "", err
	}
	cni, err := pluginFolder()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`version = 2
root = %[1]q
state = %[2]q
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs",
  "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = %[3]q

[ttrpc]
  address = %[4]q

[plugins."io.containerd.internal.v1.opt"]
  path = %[5]q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[6]q
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  # What a container may be, its runtime must be allowed to be: root may lack the capability to protect from the OOM killer.
  restrict_oom_score_adj = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  # Below the cluster's folder, so that they can be found.
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %[7]q
    conf_dir = %[8]q

  # Empty: registries on this machine's loopback are asked over http, all others over https.
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = %[9]q

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = %[10]q
        Root = %[11]q
`, d.Path("containerd"), filepath.Join(d.Run(), "containerd"), Socket(d), Socket(d)+".ttrpc", d.Path("node", "opt"),
		PauseImage, cni, d.Path("node", "cni"), d.Path("node", "certs.d"), runc, filepath.Join(d.Run(), "runc")), nil
}

// cniConfig connects every pod to the machine directly, without a common bridge. So packets between
// pods pass the firewall of the machine, however the kernel treats bridges, including packets whose
// addresses kube-proxy has replaced.
func cniConfig(d home.Dir, c home.Config) (object, error) {
	gateway, first, last, err := podRange(c)
	if err != nil {
		return nil, err
	}
	return object{
		"cniVersion": "0.4.0",
		"name":       network,
		"plugins": []object{{
			"type": "ptp",
			"mtu":  mtu(),
			"ipam": object{
				"type": "host-local",
				"ranges": [][]object{{{
					"subnet": c.PodCIDR, "rangeStart": first.String(), "rangeEnd": last.String(), "gateway": gateway.String(),
				}}},
				"routes":  []object{{"dst": "0.0.0.0/0"}},
				"dataDir": filepath.Join(d.Run(), "ipam"),
			},
		}},
	}, nil
}

func kubeletConfig(d home.Dir, c home.Config, dns net.IP) object {
	return object{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"address":                  c.Address,
		"healthzPort":              0,
		"readOnlyPort":             0,
		"registerNode":             true,
		"containerRuntimeEndpoint": "unix://" + Socket(d),
		"authentication": object{
			"anonymous": object{"enabled": false},
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": filepath.Join(d.PKI(), "ca.crt")},
		},
		"authorization":     object{"mode": "Webhook"},
		"tlsCertFile":       filepath.Join(d.PKI(), "kubelet.crt"),
		"tlsPrivateKeyFile": filepath.Join(d.PKI(), "kubelet.key"),
		"clusterDomain":     "cluster.local",
		"clusterDNS":        []string{dns.String()},
		"resolvConf":        d.Path("node", "resolv.conf"),
		"podLogsDir":        d.Path("logs", "pods"),
		"volumePluginDir":   d.Path("node", "flexvolumes"),
		"cgroupDriver":      "cgroupfs",
		"cgroupRoot":        "/" + cgroup,
		"failCgroupV1":      false,
		"failSwapOn":        false,
		// Disables iptables rules, which are not needed here.
		"makeIPTablesUtilChains": false,
		"maxPods":                250,
		"serializeImagePulls":    false,
		"registryPullQPS":        0,
		"eventRecordQPS":         0,
		"kubeAPIQPS":             200,
		"kubeAPIBurst":           400,
		// The disk of a workstation is often nearly full. Images are never removed because of that, and
		// pods are evicted only as a last resort.
		"imageGCHighThresholdPercent": 100,
		"imageGCLowThresholdPercent":  99,
		"evictionHard": object{
			"memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%", "imagefs.inodesFree": "1%",
		},
		"nodeStatusUpdateFrequency": "5s",
		"syncFrequency":             "10s",
		"shutdownGracePeriod":       "0s",
	}
}

func proxyConfig(d home.Dir, c home.Config) object {
	return object{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"clientConnection":   object{"kubeconfig": filepath.Join(d.PKI(), control.ProxyKubeconfig)},
		"mode":               "nftables",
		"clusterCIDR":        c.PodCIDR,
		"hostnameOverride":   control.NodeName,
		"nodePortAddresses":  []string{"primary"},
		"healthzBindAddress": "",
		"metricsBindAddress": "",
		// Leave the machine's settings as they are.
		"conntrack": object{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
		// Changes of endpoints should take effect immediately, and there are only few endpoints.
		"nftables": object{"minSyncPeriod": "0s", "syncPeriod": "30s"},
	}
}

// resolvConf returns the resolv.conf for pods that use the name resolution of the machine. It names
// the cluster's DNS, which also resolves the names that the machine resolves. The file of the machine
// may name servers on its loopback interface, which a pod cannot reach.
func resolvConf(host string, dns net.IP) string {
	out := "nameserver " + dns.String() + "\n"
	for line := range strings.Lines(host) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "search" {
			out += strings.Join(f, " ") + "\n"
		}
	}
	return out
}
