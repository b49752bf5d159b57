package suite_test

import (
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/suite"
)

var update = flag.Bool("update", false, "rewrite golden files")

// workspace writes the files of an archive and returns the test files.
func workspace(t *testing.T, archive *txtar.Archive) (dir string, tests []string) {
	t.Helper()
	dir = t.TempDir()
	for _, f := range archive.Files {
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.star") {
			tests = append(tests, file)
		}
	}
	return dir, tests
}

func one(t *testing.T, text string) (dir string, tests []string) {
	t.Helper()
	return workspace(t, txtar.Parse([]byte("-- a_test.star --\n"+text)))
}

func run(t *testing.T, dir string, tests []string, opts suite.Options) []suite.File {
	t.Helper()
	opts.Eval.Root = dir
	files, err := suite.Run(t.Context(), tests, opts)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var elapsed = regexp.MustCompile(`\d+\.\d\ds`)

func text(t *testing.T, files []suite.File) string {
	t.Helper()
	var b strings.Builder
	for _, f := range files {
		if err := suite.Write(&b, f, true); err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Wrong {
			b.WriteString(d.String() + "\n")
		}
	}
	return elapsed.ReplaceAllString(b.String(), "0.00s")
}

// TestFailures compares the report of testdata/failures.txtar, which has one
// test for each kind of failure.
func TestFailures(t *testing.T) {
	const file = "testdata/failures.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	report := &archive.Files[len(archive.Files)-1]
	dir, tests := workspace(t, archive)
	got := text(t, run(t, dir, tests, suite.Options{}))
	if *update {
		report.Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(report.Data), got); diff != "" {
		t.Errorf("report (-want +got):\n%s\nrun: go test ./interp/suite -update", diff)
	}
}

// TestGolden checks that --update writes only the golden files that differ, and
// that comments and positions do not change the golden file of a plan.
func TestGolden(t *testing.T) {
	dir, tests := workspace(t, txtar.Parse([]byte(`
-- Pipelinefile --
pipeline("shop")
container("web", image = "nginx:1", values = {"pos": "kept"}, skip = True, chart = chart("x", repo = "https://example.com", version = "1"))
container("api", image = "nginx:1", labels = {"line": "3"}, skip = True)
-- a_test.star --
def test_plan():
    golden(plan(), "testdata/deep/plan.json")
    golden("as it is", "testdata/text")
-- testdata/text --
as it is`)))
	// Files of an archive always end with a newline; this one must not.
	if err := os.WriteFile(filepath.Join(dir, "testdata/text"), []byte("as it is"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := run(t, dir, tests, suite.Options{Update: true})
	if diff := cmp.Diff([]string{"testdata/deep/plan.json"}, files[0].Tests[0].Updated); diff != "" || files[0].Failed() > 0 {
		t.Fatalf("updated (-want +got):\n%s\n%s", diff, text(t, files))
	}
	data, err := os.ReadFile(filepath.Join(dir, "testdata/deep/plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"pos": "kept"`, `"line": "3"`, `"replicas": 1`, `"path": "Pipelinefile"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the golden file lacks %s:\n%s", want, data)
		}
	}
	for _, no := range []string{`"col"`, "sha256:"} {
		if strings.Contains(string(data), no) {
			t.Errorf("the golden file contains %s:\n%s", no, data)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "testdata/deep")); err != nil || len(entries) != 1 {
		t.Errorf("ReadDir = %v, %v; want one file", entries, err)
	}
	edit := func(old, new string) []suite.File {
		t.Helper()
		file := filepath.Join(dir, "Pipelinefile")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(data), old, new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		return run(t, dir, tests, suite.Options{})
	}
	if files := edit("pipeline(", "# a comment\npipeline("); files[0].Failed() > 0 {
		t.Errorf("a comment changes the plan:\n%s", text(t, files))
	}
	files = edit("nginx:1", "nginx:2")
	if got := text(t, files); !strings.Contains(got, "\n    -        \"mirror\": \"nginx:1\"\n    +        \"mirror\": \"nginx:2\"\n") {
		t.Errorf("the change is not shown:\n%s", got)
	}
}

// TestGoldenThroughLink checks that golden files are not written through a
// symbolic link.
func TestGoldenThroughLink(t *testing.T) {
	dir, tests := one(t, "def test_a():\n    golden(\"[core]\", \"testdata/config\")\n")
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".git", filepath.Join(dir, "testdata")); err != nil {
		t.Skip(err)
	}
	_, err := suite.Run(t.Context(), tests, suite.Options{Update: true, Eval: interp.Options{Root: dir}})
	if err == nil || err.Error() != "update testdata/config: testdata is not a directory" {
		t.Errorf("Run = %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Join(dir, ".git")); len(entries) > 0 {
		t.Errorf("written through the link: %v", entries)
	}
}

// TestLargeGolden checks that large texts are compared up to their first
// difference, instead of with a diff of quadratic cost.
func TestLargeGolden(t *testing.T) {
	dir, tests := one(t, "def test_a():\n    golden(\"ab\\n\" * 300000 + \"c\" * 1000, \"testdata/a\")\n")
	if err := os.Mkdir(filepath.Join(dir, "testdata"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "testdata/a"), []byte(strings.Repeat("ab\n", 300000)+"d\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := run(t, dir, tests, suite.Options{})[0].Tests[0].Failures[0].Diff
	want := "@@ first difference at line 300001; 300001 lines in the file, 300001 now @@\n-d\n+" + strings.Repeat("c", 200) + "…\n"
	if got != want {
		t.Errorf("diff = %q, want %q", got, want)
	}
}

// meet is a builtin that returns when n tests are calling it.
func meet(ctx context.Context, n int) *builtins.Func {
	var mu sync.Mutex
	var once sync.Once
	in, met := 0, make(chan struct{})
	return builtins.New("meet", "None", "Waits for other tests.", func(*builtins.Call, *struct{}) (starlark.Value, error) {
		mu.Lock()
		if in++; in >= n {
			once.Do(func() { close(met) })
		}
		mu.Unlock()
		select {
		case <-met:
			return starlark.None, nil
		case <-ctx.Done():
			return nil, errors.New("the other tests did not call meet")
		}
	})
}

// TestParallel checks that the tests of all files run concurrently, and that
// results are reported in the order of the files.
func TestParallel(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	const text = "def test_a():\n    meet()\n\ndef test_b():\n    meet()\n"
	dir, tests := workspace(t, txtar.Parse([]byte("-- b_test.star --\n"+text+"-- a_test.star --\n"+text)))
	var order []string
	opts := suite.Options{Jobs: 4, Done: func(f suite.File) { order = append(order, f.Name) }}
	opts.Eval.Builtins = []*builtins.Func{meet(ctx, 4)}
	files := run(t, dir, tests, opts)
	for _, f := range files {
		if f.Failed() > 0 || len(f.Tests) != 2 || f.Tests[0].Name != "test_a" {
			t.Errorf("%+v", f)
		}
	}
	if diff := cmp.Diff([]string{"b_test.star", "a_test.star"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// TestOnly checks that tests that Only does not match are not run.
func TestOnly(t *testing.T) {
	dir, tests := one(t, "def test_ab():\n    pass\n\ndef test_b():\n    fail(\"run\")\n")
	files := run(t, dir, tests, suite.Options{Only: regexp.MustCompile("a"), Jobs: 1})
	if len(files[0].Tests) != 1 || files[0].Failed() > 0 {
		t.Errorf("%+v", files)
	}
}

// TestCancelled checks that cancelling the context stops a running test and the
// waiting ones.
func TestCancelled(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	dir, tests := one(t, "def test_a():\n    enough()\n    for i in range(1 << 40):\n        pass\n\ndef test_b():\n    enough()\n")
	opts := suite.Options{Jobs: 1, Done: func(f suite.File) { t.Errorf("Done was called for %+v", f) }}
	opts.Eval = interp.Options{Root: dir, Limits: interp.Limits{Steps: 1 << 50}, Builtins: []*builtins.Func{
		builtins.New("enough", "None", "Cancels.", func(*builtins.Call, *struct{}) (starlark.Value, error) {
			cancel(cause)
			return starlark.None, nil
		}),
	}}
	if files, err := suite.Run(ctx, tests, opts); !errors.Is(err, cause) || files != nil {
		t.Errorf("Run = %v, %v", files, err)
	}
}

// TestHostile checks that the limits cover a test together with the plans that
// it evaluates, and its printed lines.
func TestHostile(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"plans": {
			"def test_a():\n    for i in range(1 << 40):\n        plan(text = \"pipeline('x')\")\n",
			"evaluation takes more than 3000000 steps",
		},
		"one plan": {
			"def test_a():\n    plan(text = \"pipeline('x')\\nfor i in range(1 << 40): pass\")\n",
			"evaluation takes more than 3000000 steps",
		},
		"errors": {
			"def test_a():\n    for i in range(1 << 40):\n        plan_error(text = \"x\")\n",
			"evaluation takes more than 3000000 steps",
		},
		"kept plans": {
			"big = \"pipeline('x')\\nfor i in range(100): container('c%d' % i, image = 'x:1')\"\n" +
				"def test_a():\n    kept = []\n    for i in range(1 << 40):\n        kept.append(plan(text = big))\n",
			"evaluation takes more than 3000000 steps",
		},
		"goldens": {
			"def test_a():\n    for i in range(1 << 40):\n        golden(\"x\" * 100000, \"testdata/%d\" % i)\n",
			"evaluation takes more than 3000000 steps",
		},
		"prints": {
			"def test_a():\n    for i in range(1 << 40):\n        print(\"x\" * 100)\n",
			"evaluation takes more than 3000000 steps",
		},
		"JSON of plans": {
			"def test_a():\n    json.encode([plan(text = \"pipeline('x')\")] * 100)\n",
			"json.encode: at list index 0: in field .build: cannot encode builtin_function_or_method as JSON",
		},
		"itself":    {"def test_a():\n    test_a()\n", "function test_a called recursively"},
		"recursion": {"def test_a():\n    plan(\"a_test.star\")\n", "pipeline() is not called"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, tests := one(t, tt.text)
			opts := suite.Options{Eval: interp.Options{Limits: interp.Limits{Steps: 3_000_000}}}
			got := run(t, dir, tests, opts)[0].Tests[0]
			if !slices.ContainsFunc(got.Failures, func(f suite.Failure) bool { return f.Message == tt.want }) {
				t.Errorf("failures %.1000v, want %s", got.Failures, tt.want)
			}
			if n := len(got.Printed); n > 1001 || n == 1001 && got.Printed[n-1].Text != "further output is omitted" {
				t.Errorf("%d printed lines are kept; the last is %v", n, got.Printed[n-1])
			}
		})
	}
}

// TestPanic checks that a panic in a builtin fails the test, at the line of the call.
func TestPanic(t *testing.T) {
	dir, tests := one(t, "def test_a():\n    x = 1\n    boom(x)\n\ndef test_b():\n    pass\n")
	opts := suite.Options{}
	opts.Eval.Builtins = []*builtins.Func{
		builtins.New("boom", "int", "Panics.", func(_ *builtins.Call, a *struct {
			X int `arg:"x" help:"a number"`
		}) (starlark.Value, error) {
			return starlark.MakeInt([]int{}[a.X]), nil
		}),
	}
	files := run(t, dir, tests, opts)
	if got := files[0].Tests[0].Failures; files[0].Failed() != 1 || !strings.HasPrefix(got[0].String(), "a_test.star:3:5: the interpreter cannot do this: ") {
		t.Errorf("%s", text(t, files))
	}
}

// TestWorkspace checks that, without a git repository, tests can read only files
// below the directory of the nearest Pipelinefile.
func TestWorkspace(t *testing.T) {
	dir, tests := workspace(t, txtar.Parse([]byte(`
-- shop/Pipelinefile --
pipeline("shop")
-- shop/lib/a_test.star --
def test_inside():
    plan("../Pipelinefile")

def test_outside():
    plan("../../Pipelinefile")
`)))
	files, err := suite.Run(t.Context(), tests, suite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := files[0]
	if f.Name != "lib/a_test.star" || len(f.Tests[0].Failures) > 0 || len(f.Tests[1].Failures) != 1 ||
		!strings.Contains(f.Tests[1].Failures[0].Message, "leaves the workspace") {
		t.Errorf("in %s: %s", dir, text(t, files))
	}
}

// TestCheck checks that the error lists all failures, and that having no tests is
// an error.
func TestCheck(t *testing.T) {
	dir, tests := workspace(t, txtar.Parse([]byte(`
-- a_test.star --
def test_a():
    fail("no")
-- b_test.star --
x = (
-- c_test.star --
def test_c():
    pass
-- d_test.star --
`)))
	opts := suite.Options{Eval: interp.Options{Root: dir}}
	for _, tt := range []struct{ files, want string }{
		{"ab", "--- FAIL: test_a (0.00s)\n    a_test.star:2:5: no\n        fail(\"no\")\n        ^\nFAIL  a_test.star  1 of 1 failed  0.00s\nb_test.star:1:5: "},
		{"c", ""},
		{"d", "there are no tests"},
	} {
		var paths []string
		for _, file := range tests {
			if strings.Contains(tt.files, filepath.Base(file)[:1]) {
				paths = append(paths, file)
			}
		}
		got := ""
		if err := suite.Check(t.Context(), paths, opts); err != nil {
			got = elapsed.ReplaceAllString(err.Error(), "0.00s")
		}
		if !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("Check(%s) = %q, want %q", tt.files, got, tt.want)
		}
	}
}

// TestJUnit checks that the report is valid XML, whatever the tests print.
func TestJUnit(t *testing.T) {
	dir, tests := workspace(t, txtar.Parse([]byte(`
-- a_test.star --
def test_holds():
    print("]]> <&> \a \x00")

def test_fails():
    fail("<no> \x01")
-- b_test.star --
x = (
`)))
	data, err := suite.JUnit(run(t, dir, tests, suite.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	type problem struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Line    int      `xml:"line,attr"`
		Failure *problem `xml:"failure"`
		Error   *problem `xml:"error"`
		Out     string   `xml:"system-out"`
	}
	type testsuite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	var got struct {
		XMLName  xml.Name    `xml:"testsuites"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Suites   []testsuite `xml:"testsuite"`
	}
	if err := xml.Unmarshal(data, &got); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	want := []testsuite{
		{"a_test.star", 2, 1, 0, []testcase{
			{"a_test.star", "test_holds", 1, nil, nil, "a_test.star:2:5: ]]> <&> \uFFFD \uFFFD\n"},
			{"a_test.star", "test_fails", 4, &problem{"<no> \uFFFD", "a_test.star:5:5: <no> \uFFFD\n    fail(\"<no> \\x01\")\n    ^\n"}, nil, ""},
		}},
		{"b_test.star", 1, 0, 1, []testcase{
			{"b_test.star", "b_test.star", 1, nil, &problem{}, ""},
		}},
	}
	if e := got.Suites[1].Cases[0].Error; e == nil || !strings.HasPrefix(e.Text, "b_test.star:1:5: "+e.Message+"\n") {
		t.Errorf("the error is %+v", e)
	} else {
		*e = problem{}
	}
	if diff := cmp.Diff(want, got.Suites); diff != "" {
		t.Errorf("suites (-want +got):\n%s", diff)
	}
	if got.Tests != 3 || got.Failures != 1 || got.Errors != 1 {
		t.Errorf("%d tests, %d failures, %d errors", got.Tests, got.Failures, got.Errors)
	}
}

// TestInputs checks that the inputs of a test file include everything that its
// tests read, but no Pipelinefile that a test gives as text.
func TestInputs(t *testing.T) {
	dir, tests := workspace(t, txtar.Parse([]byte(`
-- a_test.star --
load("lib.star", "name")

def test_plans():
    plan()
    plan("made/Pipelinefile", text = "pipeline('x')")
    golden("x", "testdata/missing")

def test_wrong():
    plan_error("wrong/Pipelinefile")
-- wrong_test.star --
def test_it(:
-- lib.star --
name = "shop"
-- Pipelinefile --
pipeline("shop")
container("web", image = read_file("image").strip(), chart = chart("chart", values_files = glob("values/*.yaml")))
-- image --
nginx:1
-- values/a.yaml --
a: 1
-- chart/Chart.yaml --
name: chart
version: 1.0.0
-- wrong/Pipelinefile --
load("../missing.star", "x")
`)))
	files := run(t, dir, tests, suite.Options{})
	got := map[string][]string{}
	for _, f := range files {
		for _, in := range f.Inputs {
			got[f.Name] = append(got[f.Name], string(in.Kind)+" "+in.Path)
		}
		slices.Sort(got[f.Name])
	}
	want := map[string][]string{
		"a_test.star": {
			"chart chart", "file image", "file testdata/missing", "glob values/*.yaml", "module Pipelinefile", "module a_test.star", "module lib.star",
			"module missing.star", "module wrong/Pipelinefile", "values values/a.yaml",
		},
		"wrong_test.star": {"module wrong_test.star"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
}
