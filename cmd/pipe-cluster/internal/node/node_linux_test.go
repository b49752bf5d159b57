package node

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

const mountinfo = `22 27 0:21 / /proc rw,relatime - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
50 27 0:40 / /var/c/kubelet rw - ext4 /dev/vda rw
51 50 0:41 / /var/c/kubelet/pods/a\040b rw - tmpfs tmpfs rw
52 27 0:42 / /var/cc/x rw - tmpfs tmpfs rw
not a line
`

func TestBelow(t *testing.T) {
	got := below("/var/c", parseMounts(mountinfo))
	if diff := cmp.Diff([]string{"/var/c/kubelet/pods/a b", "/var/c/kubelet"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCgroupMounts(t *testing.T) {
	const unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	for _, x := range []struct {
		name, info string
		want       []string
		v2         bool
	}{
		{"version 1 with 2 besides", mountinfo, []string{"/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"}, false},
		{"version 2", unified, []string{"/sys/fs/cgroup"}, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			got, v2 := cgroupMounts(parseMounts(x.info))
			if diff := cmp.Diff(x.want, got); diff != "" || v2 != x.v2 {
				t.Errorf("version 2: %v\n%s", v2, diff)
			}
		})
	}
}

func TestChooseNetworks(t *testing.T) {
	for _, x := range []struct {
		name           string
		used           []string
		pods, services int
	}{
		{"free", nil, 244, 96},
		{"others", []string{"192.168.0.0/16", "172.17.0.0/16", "10.1.0.0/16"}, 244, 96},
		{"pods' is used", []string{"10.244.1.0/24"}, 243, 95},
		{"services' is used", []string{"10.96.0.0/12"}, 243, 95},
		{"wider than any cluster", []string{"10.0.0.0/8"}, 244, 96},
		{"part of a wide one", []string{"10.192.0.0/10"}, 191, 43},
	} {
		t.Run(x.name, func(t *testing.T) {
			var used []net.IPNet
			for _, u := range x.used {
				_, n, err := net.ParseCIDR(u)
				if err != nil {
					t.Fatal(err)
				}
				used = append(used, *n)
			}
			if pods, services := chooseNetworks(used); pods != x.pods || services != x.services {
				t.Errorf("chooseNetworks(%v) = %d, %d, want %d, %d", x.used, pods, services, x.pods, x.services)
			}
		})
	}
}

func TestResolvConf(t *testing.T) {
	const host = "# made by somebody\nnameserver 127.0.0.53\noptions edns0\nsearch corp.example home.example\n"
	want := "nameserver 10.96.0.10\nsearch corp.example home.example\n"
	if got := resolvConf(host, net.IPv4(10, 96, 0, 10)); got != want {
		t.Errorf("resolvConf = %q, want %q", got, want)
	}
}

func TestOwnRules(t *testing.T) {
	const chain = `table ip filter {
	chain FORWARD { # handle 2
		type filter hook forward priority filter; policy drop;
		ip daddr 10.244.0.0/16 counter packets 3 bytes 4 accept comment "pipe-cluster" # handle 7
		ip saddr 10.0.0.1 accept comment "not pipe-cluster" # handle 8
		counter packets 0 bytes 0 jump DOCKER-USER # handle 9
		ip saddr 10.244.0.0/16 counter packets 0 bytes 0 accept comment "pipe-cluster" # handle 12
	}
}
`
	if diff := cmp.Diff([]string{"7", "12"}, ownRules(chain)); diff != "" {
		t.Error(diff)
	}
}

func TestClaim(t *testing.T) {
	long := home.Dir("/" + strings.Repeat("x", maxDir))
	if err := Claim(long); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("Claim(%d bytes) = %v", len(long), err)
	}
}

func TestSweepFiles(t *testing.T) {
	d := home.Dir(t.TempDir())
	task := filepath.Join(d.Run(), "containerd", "io.containerd.runtime.v2.task", "k8s.io", "abc")
	if err := os.MkdirAll(task, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "shim.sock")
	for file, text := range map[string]string{filepath.Join(task, "address"): "unix://" + socket, socket: ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sweepFiles(d)
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the shim's socket is left: %v", err)
	}
}

// TestConfig: the address of a cluster determines its networks.
func TestConfig(t *testing.T) {
	for i := range networkPairs {
		want := config(firstPods-i, firstServices-i)
		if got, ok := Config(want.Address); !ok || got != want {
			t.Errorf("Config(%s) = %+v, %v, want %+v", want.Address, got, ok, want)
		}
	}
	for _, address := range []string{"", "127.0.0.1", "10.9.128.1"} {
		if got, ok := Config(address); ok {
			t.Errorf("Config(%q) = %+v, want none", address, got)
		}
	}
}
