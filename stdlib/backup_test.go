package stdlib_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/interp"
)

// TestBackupRuns runs the script of a backup in a shell. It must keep the newest
// dumps only, and must fail without a new dump if the dump fails.
func TestBackupRuns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "Pipelinefile")
	text := "load(\"@std//jobs.star\", \"backup\")\nload(\"@std//databases.star\", \"postgresql\")\npipeline(\"x\")\nbackup(\"b\", postgresql(\"db\"), keep = 2)\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := interp.Eval(t.Context(), file, interp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	argv := p.Services[1].Workload.Command
	if len(argv) != 3 || argv[0] != "sh" || argv[1] != "-c" {
		t.Fatalf("command %q", argv)
	}
	script := strings.ReplaceAll(argv[2], "/backup", dir)
	run := func(pgDump string) error {
		cmd := exec.Command("sh", "-c", "pg_dump() { "+pgDump+"; }; "+script)
		cmd.Env = append(os.Environ(), "DATABASE_URL=postgresql://db")
		return cmd.Run()
	}
	for _, old := range []string{"20200101T000000Z.dump", "20200102T000000Z.dump", "20200103T000000Z.dump", "other.txt"} {
		if err := os.WriteFile(filepath.Join(dir, old), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run("return 1"); err == nil {
		t.Error("the script ignores a failed dump")
	}
	if err := run(`test "$3" = "$DATABASE_URL" && echo new >"$FILE"`); err != nil {
		t.Fatal(err)
	}
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil && string(data) == "new\n" {
			name = "new"
		}
		got = append(got, name)
	}
	if diff := cmp.Diff([]string{"20200103T000000Z.dump", "new", "other.txt"}, got); diff != "" {
		t.Errorf("kept: -want +got\n%s", diff)
	}
}
