package lsp_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/pipelinefile/pipe/interp/lsp"
)

// TestMain runs the test binary as a language server if an editor started it.
func TestMain(m *testing.M) {
	if os.Getenv("PIPE_TEST_ROOT") != "" {
		if err := lsp.Serve(context.Background(), os.Stdin, os.Stdout, lsp.Options{}); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestNeovim uses the server from a real editor, over standard input and output.
func TestNeovim(t *testing.T) {
	nvim, err := exec.LookPath("nvim")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), "editor") {
			t.Fatal("nvim not found, but PIPE_TEST_REQUIRE requires an editor; make test installs it")
		}
		t.Skip("nvim not found; make test installs it")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root, home := filepath.Join(dir, "work"), filepath.Join(dir, "home")
	for _, f := range txtar.Parse([]byte(`
-- Pipelinefile --
load("lib/web.star", "site")
pipeline("shop")
n = 1
db = database("🙂", engine = nobody, version = "7")
site("page", replicas = n)
print(db.host)
-- lib/web.star --
def site(name, replicas):
    return container(name, image = "a:1", replicas = replicas)
`)).Files {
		file := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/neovim.lua")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "result.json")
	cmd := exec.CommandContext(t.Context(), nvim, "--headless", "-u", "NONE", "-i", "NONE", "-n", "-c", "luafile "+script)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home, "XDG_CACHE_HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home,
		"PIPE_TEST_ROOT="+root, "PIPE_TEST_SERVER="+self, "PIPE_TEST_RESULT="+out)
	said, err := cmd.CombinedOutput()
	data, readErr := os.ReadFile(out)
	if err != nil || readErr != nil {
		t.Fatalf("nvim: %v, %v\n%s", err, readErr, said)
	}
	var got struct {
		Error, Hover, Signature          string
		Wrong, Text, Completion, Symbols []string
		References                       int
		Renamed                          []string
		Jumped                           []any
	}
	if err := json.Unmarshal(data, &got); err != nil || got.Error != "" {
		t.Fatalf("nvim: %s %v\n%s", got.Error, err, said)
	}
	const text = `load("lib/web.star", "site")
pipeline("shop")
# 🙂
n = 1
db = database("db", engine = "redis", version = "7")
site("page", replicas = n)
print(db.host)`
	diff(t, "diagnostics", []string{"4:31 undefined: nobody"}, got.Wrong)
	diff(t, "text", strings.Split(text, "\n"), got.Text)
	diff(t, "renamed", strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, `"site"`, `"page"`), "site(", "page("), "\n"), got.Renamed)
	diff(t, "symbols", []string{"n", "db", "page"}, got.Symbols)
	if !strings.Contains(got.Hover, "Declares a database.") || !strings.HasPrefix(got.Signature, "database(name, *, engine, ") {
		t.Errorf("hover %q, signature %q", got.Hover, got.Signature)
	}
	if !slices.Contains(got.Completion, "password") || got.References != 3 {
		t.Errorf("completion %v, %d references", got.Completion, got.References)
	}
	diff(t, "definition", []any{"web.star", []any{1.0, 4.0}, "def page(name, replicas):"}, got.Jumped)
}
