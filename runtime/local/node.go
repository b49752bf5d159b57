package local

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/internal/atomicfile"
	"github.com/pipelinefile/pipe/internal/mirrors"
)

// written is the first line of the files of configureNode. Others are left alone.
const written = "# Written by pipe, from registries.conf.\n"

// configureNode has the node of the local Kubernetes in dir read registries from where
// registries.conf says (I8). containerd reads these files for each image that it pulls.
func (o Options) configureNode(dir string) error {
	certs := filepath.Join(dir, "node", "certs.d")
	there, err := os.ReadDir(certs)
	if errors.Is(err, fs.ErrNotExist) || o.Passive {
		return nil // the node is simulated, and pulls nothing
	}
	if err != nil {
		return err
	}
	config, err := mirrors.Read(mirrors.File(o.Home))
	if err != nil {
		return o.checkRegistries()
	}
	want := map[string]bool{}
	for _, r := range config.Registries {
		want[r.Host] = true
		file := filepath.Join(certs, r.Host, "hosts.toml")
		content := hostsFile(r)
		if before, err := os.ReadFile(file); err == nil && (bytes.Equal(before, content) || !bytes.HasPrefix(before, []byte(written))) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := atomicfile.Write(file, content, 0o644); err != nil {
			return err
		}
	}
	for _, e := range there {
		file := filepath.Join(certs, e.Name(), "hosts.toml")
		before, err := os.ReadFile(file)
		if err != nil || want[e.Name()] || !bytes.HasPrefix(before, []byte(written)) {
			continue
		}
		if err := os.RemoveAll(filepath.Dir(file)); err != nil {
			return err
		}
	}
	return nil
}

// hostsFile returns the configuration of containerd for one registry.
func hostsFile(r mirrors.Registry) []byte {
	var b bytes.Buffer
	b.WriteString(written)
	fmt.Fprintf(&b, "server = %q\n%s", nodeURL(r.Location), overrides(r.Location, ""))
	hosts := r.Mirrors
	if len(hosts) == 0 {
		// containerd 1.6 takes a file without hosts for a mistake, and then asks the registry itself.
		hosts = []mirrors.Place{r.Location}
	}
	for _, m := range hosts {
		fmt.Fprintf(&b, "\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n%s", nodeURL(m), overrides(m, "  "))
	}
	return b.Bytes()
}

// nodeURL returns the URL of a place, without TLS on loopback.
func nodeURL(p mirrors.Place) string {
	host, scheme := mirrors.Endpoint(p.Host), "https"
	if mirrors.IsLoopback(host) {
		scheme = "http"
	}
	if p.Path == "" {
		return scheme + "://" + host
	}
	return scheme + "://" + host + "/v2/" + p.Path
}

// overrides says that the URL of a place is complete.
func overrides(p mirrors.Place, indent string) string {
	if p.Path == "" {
		return ""
	}
	return indent + "override_path = true\n"
}
