package mirrors

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, text string) string {
	t.Helper()
	file := File(t.TempDir())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRead(t *testing.T) {
	t.Parallel()
	got, err := Read(write(t, `# mirrors
[[registry]]
prefix = "docker.io"

[[registry.mirror]]
location = "mirror.example.com:5000/docker-hub" # with a path
[[registry.mirror]]
location = "localhost/"

[[registry]]
location = 'quay.io'
[[registry.mirror]]
location = """Quay.Example.com"""

[[registry]]
prefix = "ghcr.io"
location = "registry.example.com/ghcr"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Registries: []Registry{
		{Host: "docker.io", Mirrors: []Place{{"mirror.example.com:5000", "docker-hub"}, {"localhost", ""}}, Location: Place{Host: "docker.io"}},
		{Host: "quay.io", Mirrors: []Place{{"quay.example.com", ""}}, Location: Place{Host: "quay.io"}},
		{Host: "ghcr.io", Location: Place{"registry.example.com", "ghcr"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for host, want := range map[string]string{
		"docker.io":            "docker.io is read from mirror.example.com:5000/docker-hub, then localhost, then docker.io",
		"index.docker.io":      "docker.io is read from mirror.example.com:5000/docker-hub, then localhost, then docker.io",
		"registry-1.docker.io": "docker.io is read from mirror.example.com:5000/docker-hub, then localhost, then docker.io",
		"ghcr.io":              "ghcr.io is read from registry.example.com/ghcr",
		"gcr.io":               "",
	} {
		r, ok := got.Registry(host)
		if text := r.String(); ok != (want != "") || ok && text != want {
			t.Errorf("Registry(%s) = %s, %v; want %s", host, text, ok, want)
		}
		if ok && r.Replaced() != (r.Host == "ghcr.io") {
			t.Errorf("registry %s counts as replaced: %v", host, r.Replaced())
		}
	}
}

func TestReadNothing(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", filepath.Join(t.TempDir(), "missing"), write(t, ""), write(t, "# nothing\n")} {
		if got, err := Read(file); err != nil || len(got.Registries) > 0 {
			t.Errorf("Read(%q) = %v, %v", file, got, err)
		}
	}
	if _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("Read of a directory = %v", err)
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		text, want, hint string
	}{
		{"[[registry]]\nprefix = docker.io\n", "2:10: ", example},
		{"[[registry]\n", "1:", example},
		{"\xff", "1:1: ", example},
		{"[registry]\nprefix = \"docker.io\"\n", "1:2: [registry] is written with two brackets", "write [[registry]]"},
		{"[[registries]]\n", "1:3: unknown table registries", example},
		{"unqualified-search-registries = [\"docker.io\"]\n", "1:1: unknown key unqualified-search-registries: pipe reads [[registry]] and [[registry.mirror]]", example},
		{"registry = [{prefix = \"docker.io\"}]\n", "1:1: unknown key registry: pipe reads [[registry]] and [[registry.mirror]]", example},
		{"[[registry]]\n", "1:3: this [[registry]] has no prefix", example},
		{"[[registry]]\nprefix = 3\n", "2:1: prefix must be a string", `write such as "mirror.example.com"`},
		{"[[registry]]\nlocatoin = \"docker.io\"\n", "2:1: unknown key locatoin", "did you mean location?"},
		{"[[registry]]\nprefix = \"docker.io\"\n  blocked = true\n", "3:3: unknown key blocked", "remove it; the keys that pipe reads here are prefix and location"},
		{"[[registry]]\nprefix = \"docker.io\"\ninsecure = true\n", "3:1: unknown key insecure", "remove it; registries on loopback are read without TLS, and all others with it"},
		{"[[registry]]\nprefix = \"docker.io\"\nmirror.location = \"a.test\"\n", "3:1: unknown key mirror.location", "remove it; the keys that pipe reads here are prefix and location"},
		{"[[registry]]\nprefix = \"docker.io/library\"\n", "2:10: prefix \"docker.io/library\" is not the name of a whole registry", `write prefix = "docker.io"; a part of a registry cannot be read from elsewhere`},
		{"[[registry]]\nprefix = \"*.example.com\"\n", "2:10: \"*.example.com\" is a pattern", "write a [[registry]] for each host"},
		{"[[registry]]\nprefix = \"docker\"\n", "2:10: \"docker\" does not begin with the name of a host", `write such as "mirror.example.com:5000/dockerhub"`},
		{"[[registry]]\nprefix = \"\"\n", "2:10: \"\" does not begin with the name of a host", `write such as "mirror.example.com:5000/dockerhub"`},
		{"[[registry]]\nprefix = \"docker.io\"\nlocation = \"https://mirror.test/hub\"\n", "3:12: \"https://mirror.test/hub\" begins with https://", `write "mirror.test/hub"`},
		{"[[registry]]\nprefix = \"docker.io\"\nlocation = \"https://me:hunter2@mirror.test\"\n", "3:12: it has a user or a password in it", "remove it, and log in: docker login HOST"},
		{"[[registry]]\nprefix = \"docker.io\"\nlocation = \"mirror.test/Hub:1\"\n", "3:12: \"mirror.test/Hub:1\" is not a valid path of a registry", "write it in lower-case letters, without a tag"},
		{"[[registry]]\nprefix = \"docker.io\"\n[[registry]]\nlocation = \"index.docker.io\"\n", "4:12: registry docker.io is already at line 2", "put all its mirrors into one [[registry]]"},
		{"[[registry]]\nprefix = \"docker.io\"\n[[registry.mirror]]\nlocation = \"registry-1.docker.io\"\n", "4:12: registry docker.io is a mirror of itself", "name another one; the registry itself is asked after its mirrors anyway"},
		{"[[registry]]\nprefix = \"docker.io\"\n[[registry.mirror]]\n", "3:3: this [[registry.mirror]] of docker.io has no location", `write such as location = "mirror.example.com/dockerhub"`},
		{"[[registry]]\nprefix = \"docker.io\"\n[[registry.mirror]]\nprefix = \"a.test\"\n", "4:1: unknown key prefix", "remove it; the keys that pipe reads here are location"},
	} {
		file := write(t, row.text)
		_, err := Read(file)
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), file+":"+row.want) || wrong.Hint != row.hint {
			hint := ""
			if wrong != nil {
				hint = wrong.Hint
			}
			t.Errorf("%q\n got %v; %s\nwant %s:%s; %s", row.text, err, hint, file, row.want, row.hint)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("[[registry]]\nprefix = \"docker.io\"\n[[registry.mirror]]\nlocation = \"a.test\"\n")
	f.Add("a.b = [{c = 1}, 2]\n[x.\"y\"]\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = parse("registries.conf", []byte(text))
	})
}
