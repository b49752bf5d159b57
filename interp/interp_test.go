package interp_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// write creates a workspace of files, given as alternating names and contents, and
// returns the path of its Pipelinefile.
func write(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, filepath.FromSlash(files[i]))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "Pipelinefile")
}

func TestWorkspace(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"repo/.git", "repo/a/b", "worktree/a", "plain/a"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "worktree/.git"), []byte("gitdir: x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"repo/Pipelinefile": "repo", "repo/a/b/Pipelinefile": "repo", "worktree/a/Pipelinefile": "worktree", "plain/a/Pipelinefile": "plain/a",
	} {
		got, err := interp.Workspace(filepath.Join(dir, file))
		if want := filepath.Join(dir, want); err != nil || got != want {
			t.Errorf("Workspace(%s) = %s, %v, want %s", file, got, err, want)
		}
	}
}

// TestRoot checks that the workspace is the git root, so that files outside of the
// Pipelinefile's directory can be read. Paths in the plan are relative to the workspace
// (L2).
func TestRoot(t *testing.T) {
	main := write(t, ".git/HEAD", "", "lib/a.star", `a = read_file("a.txt")`, "lib/a.txt", "x", "app/api/Dockerfile", "FROM scratch",
		"app/Pipelinefile", `
load("../lib/a.star", "a")
pipeline("p")
application("api", source = local("api"), env = {"A": a})
`)
	p, err := interp.Eval(t.Context(), filepath.Join(filepath.Dir(main), "app", "Pipelinefile"), interp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Input{
		{Path: "app/Pipelinefile", Kind: plan.InputModule}, {Path: "app/api", Kind: plan.InputContext},
		{Path: "app/api/Dockerfile", Kind: plan.InputDockerfile}, {Path: "lib/a.star", Kind: plan.InputModule}, {Path: "lib/a.txt", Kind: plan.InputFile},
	}
	for i := range p.Inputs {
		if (p.Inputs[i].Digest == "") != (p.Inputs[i].Kind == plan.InputContext) {
			t.Errorf("digest of %s is %q", p.Inputs[i].Path, p.Inputs[i].Digest)
		}
		p.Inputs[i].Digest = ""
	}
	if diff := cmp.Diff(want, p.Inputs); diff != "" {
		t.Errorf("Inputs: -want +got\n%s", diff)
	}
	if got := p.Builds[0].Source.Path; got != "app/api" {
		t.Errorf("Source.Path = %q, want app/api", got)
	}
}

// TestGlobInputs checks that a glob is an input together with its exclusions, so that a
// watcher finds the same files (L7).
func TestGlobInputs(t *testing.T) {
	main := write(t, "conf/a.yaml", "", "conf/b.yaml", "", "Pipelinefile", `
pipeline("p")
glob("conf/*.yaml", exclude = ["conf/b.*", "conf/c.*"])
glob("conf/*.yaml")
`)
	p, err := interp.Eval(t.Context(), main, interp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Input{
		{Path: "Pipelinefile", Kind: plan.InputModule, Digest: p.Inputs[0].Digest},
		{Path: "conf/*.yaml", Kind: plan.InputGlob, Digest: plan.DigestOf([]byte("conf/a.yaml\nconf/b.yaml"))},
		{Path: "conf/*.yaml", Kind: plan.InputGlob, Exclude: []string{"conf/b.*", "conf/c.*"}, Digest: plan.DigestOf([]byte("conf/a.yaml"))},
	}
	if diff := cmp.Diff(want, p.Inputs); diff != "" {
		t.Errorf("Inputs: -want +got\n%s", diff)
	}
}

// TestRelative checks that Eval takes a path relative to the current directory, and a
// root under another name.
func TestRelative(t *testing.T) {
	main := write(t, "Pipelinefile", `pipeline("p")`)
	t.Chdir(filepath.Dir(main))
	if _, err := interp.Eval(t.Context(), "Pipelinefile", interp.Options{}); err != nil {
		t.Error(err)
	}
	alias := filepath.Join(t.TempDir(), "alias")
	if err := os.Symlink(filepath.Dir(main), alias); err != nil {
		t.Fatal(err)
	}
	if _, err := interp.Eval(t.Context(), main, interp.Options{Root: alias}); err != nil {
		t.Error(err)
	}
	if _, err := interp.Eval(t.Context(), main, interp.Options{Root: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "is not in the workspace") {
		t.Errorf("Eval outside of the root: %v", err)
	}
}

func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"Pipelinefile", "no/folder/Pipelinefile"} {
		file := filepath.Join(dir, name)
		_, err := interp.Eval(t.Context(), file, interp.Options{})
		var wrong *interp.Error
		if !errors.As(err, &wrong) || !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("Eval(%s) = %v, want an *Error that is fs.ErrNotExist", name, err)
		}
		if !strings.Contains(err.Error(), "looked for "+file) || len(wrong.Inputs) != 1 {
			t.Errorf("Eval(%s) = %v, inputs %v", name, err, wrong.Inputs)
		}
	}
}

// hang is the timeout for operations that take no time, however busy the machine is.
const hang = time.Minute

// TestCancel checks that a busy loop stops when its context ends (L4). The log shows that
// this takes less than 50 ms; the test does not assert it, because it depends on the
// machine.
func TestCancel(t *testing.T) {
	main := write(t, "Pipelinefile", "def f():\n  for i in range(1000000000):\n    for j in range(1000000000):\n      pass\nf()\n")
	why := errors.New("enough")
	var ctx context.Context
	least := time.Hour
	for range 5 {
		var cancel context.CancelCauseFunc
		ctx, cancel = context.WithCancelCause(t.Context())
		var at time.Time
		time.AfterFunc(10*time.Millisecond, func() { at = time.Now(); cancel(why) })
		_, err := interp.Eval(ctx, main, interp.Options{Limits: interp.Limits{Steps: 1 << 60}})
		least = min(least, time.Since(at))
		if !errors.Is(err, why) {
			t.Fatalf("Eval = %v, want %v", err, why)
		}
	}
	if t.Logf("Eval returned %s after the context was cancelled", least); least > hang {
		t.Error("which is a hang")
	}
	if _, err := interp.Eval(ctx, main, interp.Options{}); !errors.Is(err, why) {
		t.Errorf("Eval with a cancelled context = %v, want %v", err, why)
	}
}

func TestSteps(t *testing.T) {
	main := write(t, "Pipelinefile", "pipeline('p')\ndef f():\n  for i in range(1000000):\n    pass\nf()\n")
	_, err := interp.Eval(t.Context(), main, interp.Options{Limits: interp.Limits{Steps: 10000}})
	if err == nil || !strings.HasPrefix(err.Error(), "Pipelinefile:3:3: evaluation takes more than 10000 steps") {
		t.Errorf("Eval = %v", err)
	}
	if _, err := interp.Eval(t.Context(), main, interp.Options{}); err != nil {
		t.Error(err)
	}
}

func TestFileSize(t *testing.T) {
	main := write(t, "big", strings.Repeat("x", 2000), "Pipelinefile", "pipeline('p')\nx = read_file('big')\n")
	_, err := interp.Eval(t.Context(), main, interp.Options{Limits: interp.Limits{Size: 1000}})
	if err == nil || !strings.HasPrefix(err.Error(), "Pipelinefile:2:15: read_file: path: big is larger than the limit of 1000 bytes") {
		t.Errorf("Eval = %v", err)
	}
}

// TestPanic checks that a panic of the interpreter is an error with its position (L4).
func TestPanic(t *testing.T) {
	broken := builtins.New("broken", "None", "Panics.", func(*builtins.Call, *struct{}) (starlark.Value, error) {
		panic("boom")
	})
	main := write(t, "lib.star", "def boom(n):\n    return [broken() for _ in range(n)]\n",
		"Pipelinefile", "load('lib.star', 'boom')\npipeline('p')\nprint('once')\nx = boom(3)\n")
	printed := 0
	_, err := interp.Eval(t.Context(), main, interp.Options{
		Builtins: []*builtins.Func{broken}, Print: func(plan.Pos, string) { printed++ },
	})
	if err == nil || !strings.HasPrefix(err.Error(), "lib.star:2:13: the interpreter cannot do this: boom\n") {
		t.Errorf("Eval = %v", err)
	}
	if printed != 1 {
		t.Errorf("printed %d times, want once", printed)
	}
}

func TestDeepText(t *testing.T) {
	for _, src := range []string{
		`json.decode("[" * 500000)`, `yaml.decode("[" * 100000)`, `read_toml("deep.toml")`, `read_json("deep.json")`,
		"x = " + strings.Repeat("(", 100000), "x = " + strings.Repeat("not ", 100000) + "1", "x = " + strings.Repeat("[", 100000),
	} {
		main := write(t, "deep.toml", "a = "+strings.Repeat("[", 300000), "deep.json", strings.Repeat(`{"a":`, 300000), "Pipelinefile", "pipeline('p')\n"+src)
		_, err := interp.Eval(t.Context(), main, interp.Options{})
		var wrong *interp.Error
		if !errors.As(err, &wrong) || wrong.Diagnostics[0].Pos.Line != 2 {
			t.Errorf("Eval(%.30s) = %.200v, want an error of line 2", src, err)
		}
	}
}

// TestTokens checks the limit of tokens of all modules together (L4).
func TestTokens(t *testing.T) {
	module := strings.Repeat("x = 1\n", 30_000) // 180 000 tokens
	main := write(t, "a.star", module, "b.star", module, "Pipelinefile", `load("a.star", "x")
pipeline("p")
`)
	if _, err := interp.Eval(t.Context(), main, interp.Options{}); err != nil {
		t.Errorf("Eval of 180 000 tokens = %v", err)
	}
	main = write(t, "a.star", module, "b.star", module, "Pipelinefile", `load("a.star", "x")
load("b.star", y = "x")
`)
	_, err := interp.Eval(t.Context(), main, interp.Options{})
	if err == nil || !strings.Contains(err.Error(), "b.star:1:1: all modules together have more than 300000 tokens") {
		t.Errorf("Eval of 360 000 tokens = %.300v, want an error about more than 300000 tokens", err)
	}
}

// TestHost tests builtins and modules of a host program (G1).
func TestHost(t *testing.T) {
	type args struct {
		Name  string `arg:"name" help:"of the team"`
		Level int    `arg:"level,kw" default:"1" help:"of support"`
	}
	team := builtins.New("team", "str", "Returns the label of a team.", func(c *builtins.Call, a *args) (starlark.Value, error) {
		if a.Level > 3 {
			return nil, c.Errorf("level", "there are 3 levels, not %d", a.Level)
		}
		return starlark.String(fmt.Sprintf("%s-%d", a.Name, a.Level)), nil
	})
	lib := fstest.MapFS{"teams.star": {Data: []byte("load('more/x.star', 'x')\nshop = team('shop', level = x)\n")}, "more/x.star": {Data: []byte("x = 2")}}
	opts := interp.Options{Builtins: []*builtins.Func{team}, Modules: map[string]fs.FS{"our": lib}}
	main := write(t, "Pipelinefile", "load('@our//teams.star', 'shop')\npipeline('p')\ncontainer('a', image = 'x', labels = {'team': shop})\n")
	p, err := interp.Eval(t.Context(), main, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Services[0].Workload.Labels["team"]; got != "shop-2" {
		t.Errorf("label = %q, want shop-2", got)
	}
	if len(p.Inputs) != 1 {
		t.Errorf("Inputs = %v, want the Pipelinefile alone", p.Inputs)
	}
	main = write(t, "Pipelinefile", "pipeline('p')\nteam('x', level = 4)\n")
	_, err = interp.Eval(t.Context(), main, opts)
	if err == nil || !strings.HasPrefix(err.Error(), "Pipelinefile:2:19: team: level: there are 3 levels, not 4\n") {
		t.Errorf("Eval = %v", err)
	}
	main = write(t, "Pipelinefile", "pipeline('p')\nteam('x', levle = 4, name = 'y')\ncontainer('a')\n")
	_, err = interp.Eval(t.Context(), main, opts)
	if err == nil || strings.Count(err.Error(), "Pipelinefile:2:") != 2 || strings.Contains(err.Error(), "Pipelinefile:3:") {
		t.Errorf("Eval = %v", err)
	}
}

// TestPrint checks that print has its position, even in a module, and shows no secret
// (L5).
func TestPrint(t *testing.T) {
	main := write(t, "lib.star", "def say(x):\n    print('lib', x)\n",
		"Pipelinefile", "load('lib.star', 'say')\npipeline('p')\nprint(1, 2, sep = '-')\nsay(secret('s'))\nsorted([1], key = lambda v: print(v) or v)\n")
	var got []string
	_, err := interp.Eval(t.Context(), main, interp.Options{Print: func(p plan.Pos, msg string) { got = append(got, p.String()+" "+msg) }})
	if diff := cmp.Diff([]string{"Pipelinefile:3:1 1-2", "lib.star:2:5 lib <secret s>", "Pipelinefile:5:29 1"}, got); err != nil || diff != "" {
		t.Errorf("printed: %v: -want +got\n%s", err, diff)
	}
}

// TestPrintBounds checks that the output of an evaluation is bounded, and that the number
// of calls left out is printed even if it fails (L5).
func TestPrintBounds(t *testing.T) {
	for _, test := range []struct {
		name, source string
		calls        int
		last         string
	}{
		{"calls", "for i in range(5000):\n    print(i)\n", 1001, "4000 more calls of print() are left out: an evaluation shows 1000, and 1 MiB of text"},
		{"bytes", "for i in range(100):\n    print('ä' * 10000)\n", 54, "47 more calls of print() are left out: an evaluation shows 1000, and 1 MiB of text"},
		{"one", "print('a' + 'ä' * 600000)\n", 1, "… and 151426 more bytes"},
		{"failure", "for i in range(2000):\n    print(i)\nfail('x')\n", 1001, "1000 more calls of print() are left out: an evaluation shows 1000, and 1 MiB of text"},
		{"all", "for i in range(1000):\n    print(i)\n", 1000, "999"},
	} {
		t.Run(test.name, func(t *testing.T) {
			main := write(t, "Pipelinefile", "pipeline('p')\n"+test.source)
			calls, size, last := 0, 0, ""
			_, err := interp.Eval(t.Context(), main, interp.Options{Print: func(p plan.Pos, msg string) {
				if !utf8.ValidString(msg) || p.IsZero() {
					t.Errorf("printed at %s: %.20q", p, msg)
				}
				calls, size, last = calls+1, size+len(msg), msg
			}})
			if (err != nil) != (test.name == "failure") {
				t.Errorf("Eval: %v", err)
			}
			if calls != test.calls || size > 1<<20+200 || !strings.HasSuffix(last, test.last) {
				t.Errorf("%d calls with %d bytes, the last %.200q; want %d, the last %q", calls, size, last[max(0, len(last)-150):], test.calls, test.last)
			}
		})
	}
}

// TestManyParams checks that an evaluation that exceeds a limit reports only that,
// whether the parameters have values or made-up ones, as for lint (L4).
func TestManyParams(t *testing.T) {
	main := write(t, "Pipelinefile", "pipeline('p')\nfor i in range(100000):\n    param('p%d' % i)\n")
	var texts []string
	for _, standIns := range []bool{false, true} {
		_, err := interp.Eval(t.Context(), main, interp.Options{StandIns: standIns})
		if err == nil || !strings.Contains(err.Error(), "evaluation takes more than 100000000 steps") {
			t.Fatalf("Eval, StandIns %v: %.500v", standIns, err)
		}
		texts = append(texts, err.Error())
	}
	if texts[0] != texts[1] {
		t.Errorf("without values: %.1000s\nwith made-up ones: %.1000s", texts[0], texts[1])
	}
}

// TestOnce checks that a module runs once, however it is loaded (L2).
func TestOnce(t *testing.T) {
	main := write(t, "lib/a.star", "load('b.star', 'b')\na = b\n", "lib/b.star", "print('b')\nb = 1\n", "Pipelinefile",
		"load('lib/a.star', 'a')\nload('./lib/../lib/b.star', 'b')\npipeline('p')\n")
	n := 0
	if _, err := interp.Eval(t.Context(), main, interp.Options{Print: func(plan.Pos, string) { n++ }}); err != nil || n != 1 {
		t.Errorf("Eval: %v, lib/b.star ran %d times, want once", err, n)
	}
}

// TestSandbox checks that no way of reading reaches files outside of the workspace (L2).
func TestSandbox(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Dockerfile", "Chart.yaml", "x.star"} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte("TOP = 1"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, src := range []string{
		`read_file("link/Dockerfile")`, `read_yaml("link/Chart.yaml")`, `load("link/x.star", "TOP")`, `application("a", source = local("link"))`,
		`application("a", source = local("."), build = dockerfile(file = "link/Dockerfile"))`, `chart("link")`,
		`chart("ok", values_files = ["link/Chart.yaml"])`, `read_file("` + filepath.ToSlash(outside) + `/x.star")`, `read_file("ok/../../../etc/passwd")`,
		`local("link/../..")`, `read_file("dev")`, `read_file("fifo")`, `chart("outside")`,
	} {
		main := write(t, "ok/Chart.yaml", "name: ok", "outside/Chart.yaml", "name: x", "Pipelinefile", "pipeline('p')\n"+src+"\n")
		dir := filepath.Dir(main)
		links := map[string]string{"link": outside, "dev": "/dev/zero", "outside/templates": outside}
		for name, to := range links {
			if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		makeFifo(t, filepath.Join(dir, "fifo"))
		p, err := interp.Eval(t.Context(), main, interp.Options{})
		var wrong *interp.Error
		if !errors.As(err, &wrong) || wrong.Diagnostics[0].Pos.Line != 2 {
			t.Errorf("Eval(%s) = %v, %v, want an error of line 2", src, p, err)
		}
		if err != nil && strings.Contains(err.Error(), "TOP") && !strings.Contains(src, "TOP") {
			t.Errorf("Eval(%s) shows what it read: %v", src, err)
		}
	}
	main := write(t, "a/x", "", "Pipelinefile", "pipeline('p')\nif glob('**/*') != ['Pipelinefile', 'a/x']: fail(glob('**/*'))\n")
	if err := os.Symlink(outside, filepath.Join(filepath.Dir(main), "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := interp.Eval(t.Context(), main, interp.Options{}); err != nil && !strings.Contains(err.Error(), `"link"`) {
		t.Error(err)
	}
}

// TestParallel checks that 1 000 concurrent evaluations share nothing but the builtins
// and the modules of the host (G1).
func TestParallel(t *testing.T) {
	type args struct {
		N int `arg:"n" help:"a number"`
	}
	label := builtins.New("label", "dict[str, str]", "Returns a label.", func(c *builtins.Call, a *args) (starlark.Value, error) {
		if a.N < 0 {
			return nil, c.Errorf("n", "want 0 or more, got %d", a.N)
		}
		labels := starlark.NewDict(1)
		return labels, labels.SetKey(starlark.String("n"), starlark.String(fmt.Sprint(a.N)))
	})
	house := fstest.MapFS{"labels.star": {Data: []byte("def labels(n):\n    return label(n - 1)\n")}}
	main := write(t, "lib.star", "def f(n):\n    return container(n, image = 'x')\n", "api/Dockerfile", "FROM scratch", "Pipelinefile", `
load("lib.star", "f")
load("@std//web.star", "web")
load("@house//labels.star", "labels")
pipeline("p")
n = param("n", type = "int", default = 3)
[f("c-%d" % i) for i in range(n)]
db = database("db", engine = "mysql", version = "8")
application("api", source = local("api"), env = {"DB": db.url}, labels = labels(n))
`)
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			n := i % 10
			p, err := interp.Eval(t.Context(), main, interp.Options{
				Params: map[string]string{"n": fmt.Sprint(n)}, Builtins: []*builtins.Func{label}, Modules: map[string]fs.FS{"house": house},
			})
			switch {
			case n == 0:
				if err == nil || !strings.Contains(err.Error(), "label: n: want 0 or more, got -1") {
					t.Errorf("Eval with n=0: %v", err)
				}
			case err != nil:
				t.Errorf("Eval with n=%d: %v", n, err)
			case len(p.Services) != n+2 || p.Service("api").Workload.Labels["n"] != fmt.Sprint(n-1):
				t.Errorf("Eval with n=%d: %d services, labels %v", n, len(p.Services), p.Service("api").Workload.Labels)
			}
		})
	}
	wg.Wait()
}

// TestWarnings checks that the warnings of warn() and of assembly are in source order
// (L5, I1).
func TestWarnings(t *testing.T) {
	main := write(t, "Dockerfile", "FROM scratch", "Pipelinefile", `pipeline("p")
application("a", build = dockerfile(args = {"URL": "https://staging.example.com/x", "OTHER": "unstaging"}))
warn("two", 2)
`)
	p, err := interp.Eval(t.Context(), main, interp.Options{Environment: plan.EnvironmentRef{Name: "staging"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range p.Warnings {
		got = append(got, w.Pos.String()+" "+w.Message)
	}
	want := []string{
		`Pipelinefile:2:26 the build argument URL of a carries the name of the environment, "staging"`,
		"Pipelinefile:3:1 two 2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Warnings: -want +got\n%s", diff)
	}
}
