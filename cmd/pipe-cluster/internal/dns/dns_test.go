package dns

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/coredns/caddy"
	_ "github.com/coredns/coredns/core/dnsserver"
	"github.com/google/go-cmp/cmp"
)

func TestUpstreams(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	const text = "# nameserver 9.9.9.9\nsearch a.example\nnameserver 10.0.0.1\nnameserver\t::1 \nnameserver fe80::1%eth0\nnameserver 10.0.0.1\nnameserver nonsense\nnameserver\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"10.0.0.1", "::1", "fe80::1%eth0"}, upstreams(file)); diff != "" {
		t.Error(diff)
	}
	if got := upstreams(file + ".not"); got != nil {
		t.Errorf("upstreams of nothing = %q", got)
	}
}

// TestCorefile: CoreDNS accepts the generated configuration.
func TestCorefile(t *testing.T) {
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kube config")
	const text = `{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}],
"users":[{"name":"c","user":{}}],"contexts":[{"name":"c","context":{"cluster":"c","user":"c"}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := Server{Address: "127.0.0.1", Kubeconfig: kubeconfig, Context: "c"}
	for _, up := range [][]string{nil, {"127.0.0.53"}, {"10.0.0.1", "::1"}} {
		if err := caddy.ValidateAndExecuteDirectives(s.corefile(up), nil, true); err != nil {
			t.Errorf("with name servers %q: %v\n%s", up, err, s.corefile(up).Contents)
		}
	}
}
