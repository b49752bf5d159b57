package control

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// Name is the name of the context, the cluster and the user in the kubeconfig.
const Name = "pipe-local"

// NodeName is the name of the only node.
const NodeName = "node-0"

// Kubeconfigs of the components, in the PKI directory.
const (
	controllersKubeconfig = "kube-controller-manager.kubeconfig"
	schedulerKubeconfig   = "kube-scheduler.kubeconfig"
	// ProxyKubeconfig is that of kube-proxy.
	ProxyKubeconfig = "kube-proxy.kubeconfig"
	// KubeletKubeconfig is that of the kubelet.
	KubeletKubeconfig = "kubelet.kubeconfig"
)

// Identity writes all certificates, keys and kubeconfigs of the cluster. The API server must have its
// port already. The supervisor's first child calls it, and all others read the files.
func Identity(d home.Dir, c home.Config) error {
	dir := d.PKI()
	ca, err := loadAuthority(dir, "ca")
	if err != nil {
		return err
	}
	front, err := loadAuthority(dir, "front-proxy-ca")
	if err != nil {
		return err
	}
	accounts, err := loadKey(filepath.Join(dir, "sa.key"))
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(accounts.Public())
	if err != nil {
		return err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if err := home.WriteFile(filepath.Join(dir, "sa.pub"), public, 0o600); err != nil {
		return err
	}
	service, err := ServiceIP(c.ServiceCIDR, API)
	if err != nil {
		return err
	}
	addr := net.ParseIP(c.Address)
	for _, x := range []struct {
		by   *authority
		file string
		leaf leaf
	}{
		{ca, "apiserver", leaf{
			name: "kube-apiserver",
			dns: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local"},
			ips: []net.IP{net.IPv4(127, 0, 0, 1), service, addr},
		}},
		{ca, "apiserver-kubelet-client", leaf{name: "apiserver-kubelet-client", group: "system:masters"}},
		{ca, "kubelet", leaf{name: "system:node:" + NodeName, group: "system:nodes", dns: []string{NodeName}, ips: []net.IP{addr}}},
		{front, "front-proxy-client", leaf{name: "front-proxy-client"}},
	} {
		if err := x.by.signTo(dir, x.file, x.leaf); err != nil {
			return err
		}
	}
	for file, l := range map[string]leaf{
		d.Kubeconfig(): {name: Name, group: "system:masters"},
		filepath.Join(dir, controllersKubeconfig): {name: "system:kube-controller-manager"},
		filepath.Join(dir, schedulerKubeconfig):   {name: "system:kube-scheduler"},
		filepath.Join(dir, ProxyKubeconfig):       {name: "system:kube-proxy"},
		filepath.Join(dir, KubeletKubeconfig):     {name: "system:node:" + NodeName, group: "system:nodes"},
	} {
		crt, key, err := ca.sign(l)
		if err != nil {
			return err
		}
		if err := writeKubeconfig(file, Server(c), ca.pem, crt, key); err != nil {
			return err
		}
	}
	return nil
}

// The numbers of the conventional addresses in the services' network.
const (
	API = 1
	DNS = 10
)

// Server returns the URL of the API server.
func Server(c home.Config) string {
	return "https://" + net.JoinHostPort(c.Address, fmt.Sprint(c.Port))
}

// Address returns the address of the API server of the cluster, from the first of its kubeconfigs that
// has it.
func Address(d home.Dir) (host string, port int, ok bool) {
	for _, file := range []string{d.Kubeconfig(), filepath.Join(d.PKI(), controllersKubeconfig), filepath.Join(d.PKI(), schedulerKubeconfig)} {
		k, err := clientcmd.LoadFromFile(file)
		if err != nil || k.Clusters[Name] == nil {
			continue
		}
		u, err := url.Parse(k.Clusters[Name].Server)
		if err != nil {
			continue
		}
		if port, err := strconv.Atoi(u.Port()); err == nil {
			return u.Hostname(), port, true
		}
	}
	return "", 0, false
}

// ServiceIP returns the nth address of the services' network.
func ServiceIP(cidr string, n byte) (net.IP, error) {
	_, network, err := net.ParseCIDR(cidr)
	if err != nil {
		return nil, err
	}
	ip := network.IP.To4()
	if ip == nil {
		return nil, fmt.Errorf("%s: not an IPv4 network", cidr)
	}
	return net.IPv4(ip[0], ip[1], ip[2], ip[3]+n), nil
}

// writeKubeconfig writes a kubeconfig that contains the certificates and the key.
func writeKubeconfig(file, server string, ca, crt, key []byte) error {
	k := clientcmdapi.NewConfig()
	k.Clusters[Name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	k.AuthInfos[Name] = &clientcmdapi.AuthInfo{ClientCertificateData: crt, ClientKeyData: key}
	k.Contexts[Name] = &clientcmdapi.Context{Cluster: Name, AuthInfo: Name}
	k.CurrentContext = Name
	b, err := clientcmd.Write(*k)
	if err != nil {
		return err
	}
	return home.WriteFile(file, b, 0o600)
}
