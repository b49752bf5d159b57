package interp_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// TestStdlibFails: what the modules of @std refuse, with its exact text.
func TestStdlibFails(t *testing.T) {
	for _, tt := range []struct{ module, names, call, want string }{
		{"testing", "equal", "equal(1, 2)", "got 1, want 2"},
		{"testing", "equal", `equal(1, "1", why = "the port")`, `the port: got 1, a int; want "1", a string`},
		{"testing", "differs", "differs(1, 1)", "got 1, want anything else"},
		{"testing", "true", "true([])", "got [], want what counts as true"},
		{"testing", "false", "false(1)", "got 1, want what counts as false"},
		{"testing", "has", "has([1], 2)", "[1] has no 2"},
		{"testing", "lacks", `lacks("shop", "ho")`, `"shop" has "ho"`},
		{"testing", "same_items", "same_items([1, 1], [1, 2])", "got [1, 1], want [1, 2] in any order: missing [2], too many [1]"},
		{"rollout", "by_environment", `by_environment({"staging": 1, "production": 2})`, "by_environment: nothing is said about the environment default; there are production, staging"},
		{"rollout", "spread", "spread(\"s\", 0, None)", "spread: there must be at least one s, not 0"},
		{"databases", "connection", `connection("db")`, "connection: db is no database"},
		{"jobs", "backup", `backup("b", database("db", engine = "x", version = "1", image = "x:1", ports = [1]))`,
			"backup: db is no PostgreSQL, MySQL, Redis or MongoDB on its usual port; declare a job with its own command"},
		{"jobs", "backup", `backup("b", database("db", engine = "redis", version = "7"), keep = 0)`, "backup: keep must be at least 1, not 0"},
		{"jobs", "migration", `migration("m", "db")`, "connection: db is no database"},
	} {
		t.Run(tt.call, func(t *testing.T) {
			_, err := evalText(t, "load(\"@std//"+tt.module+".star\", \""+tt.names+"\")\npipeline(\"x\")\n"+tt.call+"\n")
			if err == nil {
				t.Fatal("Eval: no error")
			}
			first, _, _ := strings.Cut(err.Error(), "\n")
			_, got, _ := strings.Cut(first, ": ")
			if got != tt.want {
				t.Errorf("Eval: %q, want %q", first, tt.want)
			}
		})
	}
}

// TestByEnvironment: a clone has the values of its source, unless it has its own.
func TestByEnvironment(t *testing.T) {
	for _, tt := range []struct {
		env  plan.EnvironmentRef
		want int
	}{
		{plan.EnvironmentRef{Name: "staging"}, 2},
		{plan.EnvironmentRef{Name: "mine", Kind: "clone", Source: "staging"}, 2},
		{plan.EnvironmentRef{Name: "load-test", Kind: "clone", Source: "staging"}, 5},
		{plan.EnvironmentRef{Name: "other"}, 1},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "Pipelinefile")
		text := "load(\"@std//rollout.star\", \"by_environment\")\npipeline(\"x\")\n" +
			"container(\"a\", image = \"x:1\", replicas = by_environment({\"staging\": 2, \"load-test\": 5}, default = 1))\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := interp.Eval(t.Context(), file, interp.Options{Root: dir, Environment: tt.env})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Services[0].Workload.Replicas; got != tt.want {
			t.Errorf("%+v: %d replicas, want %d", tt.env, got, tt.want)
		}
	}
}

// TestBackupRuns: the script of a backup runs in a shell; it keeps the newest
// dumps, and a dump that failed is none.
func TestBackupRuns(t *testing.T) {
	p, err := evalText(t, "load(\"@std//jobs.star\", \"backup\")\nload(\"@std//databases.star\", \"postgresql\")\npipeline(\"x\")\nbackup(\"b\", postgresql(\"db\"), keep = 2)\n")
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
		t.Error("a dump that fails is no error")
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

func evalText(t *testing.T, text string) (*plan.Plan, error) {
	t.Helper()
	return evalRemote(t, text, "", nil)
}
