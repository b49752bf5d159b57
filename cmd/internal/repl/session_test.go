package repl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// session returns a session in a workspace with one module.
func session(t *testing.T, base string) *Session {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "ports.star"), []byte("web = 8080\n_inner = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(filepath.Join(root, "Pipelinefile"), base, interp.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSession checks that an input that is an expression returns its value, that
// declarations are kept, and that a failed input has no effect.
func TestSession(t *testing.T) {
	s := session(t, "greeting = 'hello'\nprint('of the file')")
	for _, step := range []struct{ input, value, printed, err string }{
		{input: "x = 20"},
		{input: "x + 1", value: "21"},
		{input: "greeting", value: `"hello"`},
		{input: "None"},
		{input: "print(greeting)", printed: "hello\n"},
		{input: "print('a'); x", printed: "a\n"},
		{input: "def f(n):\n    return [n] * 2\n", value: ""},
		{input: "f(\n  x\n)  # a comment", value: "[20, 20]"},
		{input: "'''two\nlines'''", value: `"two\nlines"`},
		{input: "x = 0\nx", value: "0"},
		{input: "1 // x", err: "[11]:1:3: floored division by zero\n    1 // x\n      ^"},
		{input: "x", value: "0"},
		{input: "if True:\n    x = 7\n"},
		{input: "x", value: "7"},
		{input: "load('ports.star', 'web')"},
		{input: "web", value: "8080"},
		{input: "container('web', image = 'redis:7').host", value: `"web"`},
		{input: "container('web', image = 'redis:8')", err: "[17]:1:1: container: service \"web\" is already declared\n    container('web', image = 'redis:8')\n    ^\n[16]:1:1: declared here\n    container('web', image = 'redis:7').host\n    ^"},
		{input: "prot(1)", err: "[17]:1:1: undefined: prot\n    prot(1)\n    ^\n    did you mean \"port\"?"},
		{input: "f(", err: "[17]:1:2: this bracket is not closed\n    f(\n     ^"},
		{input: "_repl_show('x')", value: "x"},
	} {
		var printed strings.Builder
		value, err := s.Eval(t.Context(), step.input, func(text string) { fmt.Fprintln(&printed, text) })
		text := ""
		if err != nil {
			text = err.Error()
			var of *interp.Error
			if !errors.As(err, &of) {
				t.Errorf("%s: the error is a %T", step.input, err)
			}
		}
		if value != step.value || printed.String() != step.printed || text != step.err {
			t.Errorf("%s\n= %q, printed %q, error %q\nwant %q, printed %q, error %q", step.input, value, printed.String(), text, step.value, step.printed, step.err)
		}
	}
}

// TestStack checks that the frames of an error in earlier inputs have the positions
// in these inputs.
func TestStack(t *testing.T) {
	s := session(t, "")
	for _, input := range []string{"def inner(n):\n    return n // 0\n", "def outer(n):\n    return inner(n)\n"} {
		if _, err := s.Eval(t.Context(), input, nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Eval(t.Context(), "outer(1)", nil)
	want := "[1]:2:14: floored division by zero\n    return n // 0\n             ^\n" +
		"stack:\n    [3]:1:1: in <toplevel>\n    [2]:2:12: in outer\n    [1]:2:14: in inner"
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestPlan checks that the plan includes all accepted inputs, with positions in them.
func TestPlan(t *testing.T) {
	s := session(t, "pipeline('shop')\n")
	for _, input := range []string{"image = 'redis:7'", "container('cache', image = image)", "container('other', image = image)"} {
		if _, err := s.Eval(t.Context(), input, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Undo(); got != "container('other', image = image)" {
		t.Errorf("Undo() = %q", got)
	}
	p, err := s.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, svc := range p.Services {
		got = append(got, fmt.Sprint(svc.Name, " ", svc.Pos))
	}
	if diff := cmp.Diff([]string{"cache [2]:1:1"}, got); diff != "" {
		t.Errorf("services (-want +got)\n%s", diff)
	}
	if p.Pipeline.Pos != (plan.Pos{File: "Pipelinefile", Line: 1, Col: 1}) {
		t.Errorf("the pipeline is declared at %v", p.Pipeline.Pos)
	}

	s.Reset()
	if got := s.Undo(); got != "" || s.Next() != 1 {
		t.Errorf("after Reset, Undo() = %q and the next input is %d", got, s.Next())
	}
	if p, err = s.Plan(t.Context()); err != nil || len(p.Services) != 0 {
		t.Errorf("after Reset, Plan() = %v, %v", p, err)
	}
}

// TestLimits checks that the limits of a Pipelinefile and the cancellation of the
// context apply to a session.
func TestLimits(t *testing.T) {
	s := session(t, "")
	if _, err := s.Eval(t.Context(), "x = [0] * (1 << 40)", nil); err == nil || !strings.HasPrefix(err.Error(), "[1]:1:9: ") {
		t.Errorf("a list of 2⁴⁰ elements: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Eval(ctx, "1", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled input: %v", err)
	}
	if s.Next() != 1 {
		t.Errorf("%d inputs were accepted", s.Next()-1)
	}
}

func TestComplete(t *testing.T) {
	s := session(t, "staging = 1\n")
	for _, input := range []string{"def stage_of(x):\n    inner = x\n    return inner\n", "cache = container('cache', image = 'redis:7')"} {
		if _, err := s.Eval(t.Context(), input, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		line  string
		start int
		want  []string
	}{
		{"stag", 0, []string{"stage", "stage_of", "staging"}},
		{"x = [conta", 5, []string{"container"}},
		{"x = cache.ho", 10, []string{"host"}},
		{"'a'.", 4, nil}, // the word is not a name
		{"x = nothing.a", 12, nil},
		{"_re", 0, nil},
		{"x = ", 4, nil},
		{"inn", 0, nil}, // local to a function
	} {
		start, got := s.Complete(t.Context(), test.line)
		if diff := cmp.Diff(test.want, got); diff != "" && len(test.want)+len(got) > 0 {
			t.Errorf("Complete(%q) (-want +got)\n%s", test.line, diff)
		}
		if start != test.start {
			t.Errorf("Complete(%q) starts at %d, want %d", test.line, start, test.start)
		}
	}
	if _, got := s.Complete(t.Context(), "cache."); len(got) == 0 {
		t.Error("a service has no attributes")
	}
}

func TestScript(t *testing.T) {
	for _, test := range []struct{ name, in, out, err string }{
		{"values", "x = 1\nx + 1\n\nfor i in [1, 2]:\n    print(i)\n", "2\n1\n2\n", ""},
		{"one line", "x = 1; y = 2\nx + y; x\n[\n  x,\n]", "[1]\n", ""},
		{"commands", "pipeline('shop')\n:plan\n:undo\n  \n:quit\nnonsense(", "plan of shop\nundone: pipeline('shop')\n", ""},
		{"help", ":help", help, ""},
		{"nothing to undo", ":undo\n1", "", ":undo: no input to undo"},
		{"no command", ":plans", "", "unknown command :plans; the commands are :plan, :undo, :reset, :help, :quit"},
		{"the first error ends the script", "1\nprint(2)\nfail('no')\n3", "1\n2\n", "[3]:1:1: no"},
		{"reset", "x = 1\n:reset\nx", "", "[1]:1:1: undefined: x"},
		{"no plan", ":plan", "", "Pipelinefile: pipeline() is not called"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			err := Script(t.Context(), session(t, ""), strings.NewReader(test.in), Console{Out: &out, Plan: planName})
			if diff := cmp.Diff(test.out, out.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if err == nil != (test.err == "") || err != nil && !strings.HasPrefix(err.Error(), test.err) {
				t.Errorf("error %v, want %q", err, test.err)
			}
		})
	}
}

func planName(w io.Writer, p *plan.Plan) error {
	_, err := fmt.Fprintln(w, "plan of", p.Pipeline.Name)
	return err
}
