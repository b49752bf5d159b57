package initialize

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/format"
	"github.com/pipelinefile/pipe/interp/lint"
)

var update = flag.Bool("update", false, "rewrite the golden Pipelinefiles")

// unpack writes the files of an archive to a temporary directory, which it returns.
func unpack(t *testing.T, a *txtar.Archive, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestMake converts each project in testdata to the Pipelinefile next to it, with Unix
// and with Windows line endings.
func TestMake(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal(err, archives)
	}
	for _, archive := range archives {
		name := strings.TrimSuffix(filepath.Base(archive), ".txtar")
		t.Run(name, func(t *testing.T) {
			a, err := txtar.ParseFile(archive)
			if err != nil {
				t.Fatal(err)
			}
			from := strings.TrimSpace(strings.TrimPrefix(string(a.Comment), "from"))
			dir := unpack(t, a, name)
			got := check(t, dir, from)
			golden := filepath.Join("testdata", name+".Pipelinefile")
			if *update {
				if err := os.WriteFile(golden, got.Text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Text, want) {
				t.Errorf("got\n%s\nwant\n%s", got.Text, want)
			}
			for i := range a.Files {
				a.Files[i].Data = bytes.ReplaceAll(a.Files[i].Data, []byte("\n"), []byte("\r\n"))
			}
			if windows := check(t, unpack(t, a, name), from); !bytes.Equal(windows.Text, got.Text) {
				t.Errorf("with Windows line endings\n%s\nwant\n%s", windows.Text, got.Text)
			}
		})
	}
}

// check makes a Pipelinefile and checks that it is formatted and deterministic,
// evaluates, passes the linter, and contains no secret.
func check(t *testing.T, dir, from string) *Result {
	t.Helper()
	got, err := Make(t.Context(), Options{Dir: dir, From: from})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"opensesame", "swordfish"} {
		if bytes.Contains(got.Text, []byte(secret)) {
			t.Errorf("the secret %s was copied\n%s", secret, got.Text)
		}
	}
	if again, err := format.Source("Pipelinefile", got.Text); err != nil || !bytes.Equal(again, got.Text) {
		t.Errorf("not formatted: want\n%s\n%v, got\n%s", again, err, got.Text)
	}
	file := filepath.Join(dir, "Pipelinefile")
	if err := os.WriteFile(file, got.Text, 0o644); err != nil {
		t.Fatal(err)
	}
	opts := interp.Options{Root: dir}
	p, err := interp.Eval(t.Context(), file, opts)
	if err != nil {
		t.Fatalf("%v\n%s", err, got.Text)
	}
	if len(p.Services) != got.Services {
		t.Errorf("the plan has %d services, the result says %d", len(p.Services), got.Services)
	}
	found, err := lint.Source(t.Context(), "Pipelinefile", lint.Pipelinefile, got.Text, opts)
	if err != nil {
		t.Fatal(err)
	}
	found = lint.Silence("Pipelinefile", got.Text, append(found, lint.Plan(p)...), true)
	for _, f := range found {
		t.Errorf("lint: %v", f)
	}
	for _, w := range p.Warnings {
		t.Errorf("warning: %v", w)
	}
	if n := bytes.Count(got.Text, []byte("# TODO: ")); n != got.Left {
		t.Errorf("it has %d TODO comments, the result says %d", n, got.Left)
	}
	again, err := Make(t.Context(), Options{Dir: dir, From: from})
	if err != nil || !bytes.Equal(again.Text, got.Text) {
		t.Errorf("the second run returned %v\n%s", err, again.Text)
	}
	return got
}

// TestVersions: every engine has a version for sources without one.
func TestVersions(t *testing.T) {
	for _, e := range chartspec.Engines() {
		if versions[e.Name] == "" {
			t.Errorf("there is no version of %s", e.Name)
		}
	}
}
