package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

func TestBackground(t *testing.T) {
	a := app{environ: []string{"PATH=/bin", "GITHUB_TOKEN=secret", "HTTPS_PROXY=http://p", "no_proxy=x", "HOME=/h", "KUBECONFIG=/k"}}
	want := []string{"PATH=/bin", "PIPE_CLUSTER_WORLD_HTTPS_PROXY=http://p", "PIPE_CLUSTER_WORLD_no_proxy=x", "HOME=/h"}
	if diff := cmp.Diff(want, a.background()); diff != "" {
		t.Error(diff)
	}
}

// TestWithoutCluster: every command says what is wrong, and what to do.
func TestWithoutCluster(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	for _, x := range []struct {
		name           string
		args           []string
		status         int
		stdout, stderr string
	}{
		{"status", []string{"status"}, 1, "stopped\nfolder      " + dir + "\n", ""},
		{"status as json", []string{"status", "-o", "json"}, 1, "{\n  \"state\": \"stopped\",\n  \"processes\": []\n}\n", ""},
		{"status as nonsense", []string{"status", "-o", "xml"}, 1, "", "pipe-cluster: --output xml: text or json\n"},
		{"kubeconfig", []string{"kubeconfig"}, 1, "", "pipe-cluster: no cluster in " + dir + ": start one with `pipe-cluster up`\n"},
		{"down", []string{"down"}, 0, "", "pipe-cluster: no cluster in " + dir + "\n"},
		{"impossible folder", []string{"up", "--node", "simulated", "--dir", "/proc/no"}, 1, "", "pipe-cluster: mkdir /proc/no: no such file or directory\n"},
		{"empty folder", []string{"down", "--dir", ""}, 1, "", "pipe-cluster: --dir \"\": it is empty; give it a value, or leave it out\n"},
		{"empty node", []string{"up", "--node= "}, 1, "", "pipe-cluster: --node \" \": it is empty; give it a value, or leave it out\n"},
		{"negative time", []string{"up", "--timeout", "-1s"}, 1, "", "pipe-cluster: --timeout -1s: it must be more than 0\n"},
		{"up as nonsense", []string{"up", "-o", "xml"}, 1, "", "pipe-cluster: --output xml: text or json\n"},
		{"unknown node", []string{"up", "--node", "big"}, 1, "", "pipe-cluster: --node big: real or simulated\n"},
	} {
		t.Run(x.name, func(t *testing.T) {
			out, errs, status := pipeCluster(t, append([]string{"--dir", dir}, x.args...)...)
			if status != x.status || out != x.stdout || errs != x.stderr {
				t.Errorf("status %d, stdout %q, stderr %q\nwant   %d,        %q,        %q", status, out, errs, x.status, x.stdout, x.stderr)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s was made: %v", dir, err)
			}
		})
	}
}

// TestForget: the directory may also have other files.
func TestForget(t *testing.T) {
	d := home.Dir(t.TempDir())
	for _, f := range []string{"etcd/x", "logs/x", "state.json", "run/x", "thesis.txt"} {
		if err := os.MkdirAll(filepath.Dir(d.Path(f)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d.Path(f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (names []string) {
		e, err := os.ReadDir(string(d))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range e {
			names = append(names, x.Name())
		}
		return names
	}
	if err := forget(d, fleeting); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"etcd", "logs", "thesis.txt"}, left()); diff != "" {
		t.Error(diff)
	}
	if err := forget(d, fleeting, data, others); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"thesis.txt"}, left()); diff != "" {
		t.Error(diff)
	}
}
