package local

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker/config"

	"github.com/pipelinefile/pipe/internal/mirrors"
)

// TestConfigureNode reads what is written with the code of containerd.
func TestConfigureNode(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, "cluster")
	certs := filepath.Join(dir, "node", "certs.d")
	o := Options{Home: home}
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(mirrors.File(home), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := o.configureNode(dir); err != nil {
			t.Fatal(err)
		}
	}
	const text = `[[registry]]
prefix = "docker.io"
[[registry.mirror]]
location = "mirror.example.com/hub"
[[registry.mirror]]
location = "127.0.0.1:5000"

[[registry]]
prefix = "ghcr.io"
location = "registry.example.com/ghcr"
`
	set(text)
	if _, err := os.Stat(filepath.Join(dir, "node")); err == nil {
		t.Fatal("a node was configured that does not exist")
	}
	if err := os.MkdirAll(filepath.Join(certs, "quay.io"), 0o755); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(certs, "quay.io", "hosts.toml")
	if err := os.WriteFile(own, []byte("server = \"https://quay.io\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		set(text)
	}
	hosts := config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(certs)})
	places := func(host string) (all []string) {
		t.Helper()
		list, err := hosts(host)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range list {
			all = append(all, fmt.Sprintf("%s://%s%s", h.Scheme, h.Host, h.Path))
		}
		return all
	}
	for host, want := range map[string][]string{
		"docker.io": {"https://mirror.example.com/v2/hub", "http://127.0.0.1:5000/v2", "https://registry-1.docker.io/v2"},
		"ghcr.io":   {"https://registry.example.com/v2/ghcr", "https://registry.example.com/v2/ghcr"},
		"quay.io":   {"https://quay.io/v2"},
	} {
		if got := places(host); !slices.Equal(got, want) {
			t.Errorf("%s is read from %q, want %q", host, got, want)
		}
	}
	set("")
	if got, want := places("ghcr.io"), []string{"https://ghcr.io/v2"}; !slices.Equal(got, want) {
		t.Errorf("ghcr.io is read from %q, want %q", got, want)
	}
	if _, err := os.Stat(own); err != nil {
		t.Errorf("a file that pipe did not write: %v", err)
	}
}

func TestRegistriesAreChecked(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(mirrors.File(home), []byte("[[registry]]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Home: home, Kubeconfig: filepath.Join(home, "missing")})
	if want := "registry: " + mirrors.File(home) + ":1:3: this [[registry]] has no prefix"; err == nil || err.Error() != want {
		t.Errorf("Open = %v\nwant %s", err, want)
	}
}
