package interp_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// unpack writes the files of an archive below dir, and returns the options that its
// comment sets, one per line: "env: NAME", "set: NAME=VALUE", "version: V".
func unpack(t *testing.T, a *txtar.Archive, dir string) interp.Options {
	t.Helper()
	for _, f := range a.Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if to, ok := strings.CutPrefix(string(f.Data), "symlink to "); ok {
			if err := os.Symlink(strings.TrimSpace(to), name); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	opts := interp.Options{Root: dir, Params: map[string]string{}}
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "env":
			opts.Environment.Name = value
		case "kind":
			opts.Environment.Kind = plan.EnvironmentKind(value)
		case "source":
			opts.Environment.Source = value
		case "branch":
			opts.Environment.Branch = value
		case "version":
			opts.Version = value
		case "set":
			name, v, _ := strings.Cut(value, "=")
			opts.Params[name] = v
		}
	}
	return opts
}

func archives(t *testing.T, pattern string) map[string]*txtar.Archive {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob(%q) = %v, %v", pattern, files, err)
	}
	out := map[string]*txtar.Archive{}
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = a
	}
	return out
}

// without returns a without the file name, and the content of that file.
func without(a *txtar.Archive, name string) (*txtar.Archive, []byte) {
	out := &txtar.Archive{Comment: a.Comment}
	var data []byte
	for _, f := range a.Files {
		if f.Name == name {
			data = f.Data
			continue
		}
		out.Files = append(out.Files, f)
	}
	return out, data
}

func rewrite(t *testing.T, file string, a *txtar.Archive, name string, data []byte) {
	t.Helper()
	a.Files = append(a.Files, txtar.File{Name: name, Data: data})
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPlans evaluates each archive in two directories and compares the bytes of the plans
// (L1).
func TestPlans(t *testing.T) {
	for file, archive := range archives(t, "testdata/plans/*.txtar") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			sources, want := without(archive, "plan.json")
			var got [2][]byte
			for i, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "another", "place")} {
				opts := unpack(t, sources, dir)
				p, err := interp.Eval(t.Context(), filepath.Join(dir, "Pipelinefile"), opts)
				if err != nil {
					t.Fatalf("Eval(%s): %v", file, err)
				}
				if got[i], err = p.JSON(); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got[0], got[1]) {
				t.Errorf("Eval(%s) from two folders: %s", file, cmp.Diff(string(got[0]), string(got[1])))
			}
			var back plan.Plan
			if err := json.Unmarshal(got[0], &back); err != nil {
				t.Fatal(err)
			}
			if again, err := back.JSON(); err != nil || !bytes.Equal(got[0], again) {
				t.Errorf("Eval(%s), read and written again: %v: %s", file, err, cmp.Diff(string(got[0]), string(again)))
			}
			if *update {
				rewrite(t, file, sources, "plan.json", got[0])
				return
			}
			if diff := cmp.Diff(string(want), string(got[0])); diff != "" {
				t.Errorf("Eval(%s): -want +got\n%s\nrun: go test ./interp -update", file, diff)
			}
		})
	}
}
