package control

import (
	"context"
	"crypto/x509"
	"net"
	"os"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

func TestIdentity(t *testing.T) {
	d := home.Dir(t.TempDir())
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}
	c := home.Config{Address: "127.0.0.1", Port: 4711, ServiceCIDR: "10.96.0.0/16"}
	if err := Identity(d, c); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(d.Path("pki", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	account, _ := os.ReadFile(d.Path("pki", "sa.key"))
	config, err := clientcmd.LoadFromFile(d.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	cluster, user, context := config.Clusters[Name], config.AuthInfos[Name], config.Contexts[Name]
	if cluster == nil || user == nil || context == nil || config.CurrentContext != Name || cluster.Server != "https://127.0.0.1:4711" {
		t.Fatalf("kubeconfig: %+v", config)
	}
	// After a repair with another address, earlier clients must still be trusted, and must still trust
	// the server.
	c.Address = "10.244.128.1"
	if err := Identity(d, c); err != nil {
		t.Fatal(err)
	}
	if now, _ := os.ReadFile(d.Path("pki", "ca.crt")); string(now) != string(first) {
		t.Error("the authority changed")
	}
	if now, _ := os.ReadFile(d.Path("pki", "sa.key")); string(now) != string(account) {
		t.Error("the key of the service accounts changed")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cluster.CertificateAuthorityData)
	server, err := cert.CertsFromFile(d.Path("pki", "apiserver.crt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"10.244.128.1", "127.0.0.1", "10.96.0.1", "localhost", "kubernetes.default.svc"} {
		if _, err := server[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	client, err := cert.ParseCertsPEM(user.ClientCertificateData)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(d.Kubeconfig()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: %v, %v", info.Mode(), err)
	}
}

func TestServiceIP(t *testing.T) {
	if ip, err := ServiceIP("10.96.0.0/16", DNS); err != nil || ip.String() != "10.96.0.10" {
		t.Errorf("%v, %v", ip, err)
	}
	for _, bad := range []string{"", "10.96.0.0", "fd00::/64"} {
		if ip, err := ServiceIP(bad, 1); err == nil {
			t.Errorf("ServiceIP(%q) = %v, want an error", bad, ip)
		}
	}
}

// TestListen: the previous port is waited for while it is in use, and given up if it stays so.
func TestListen(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := other.Addr().(*net.TCPAddr).Port
	c := home.Config{Address: "127.0.0.1", Port: port}
	l, err := listen(t.Context(), &c, func() { _ = other.Close() })
	if err != nil || c.Port != port {
		t.Fatalf("port %d, %v, want %d", c.Port, err, port)
	}
	defer l.Close()
	over, cancel := context.WithCancel(t.Context())
	l2, err := listen(over, &c, cancel)
	if err != nil || c.Port == port || c.Port == 0 {
		t.Fatalf("port %d, %v, want another than %d", c.Port, err, port)
	}
	_ = l2.Close()
}
