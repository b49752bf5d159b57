package interp_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// wrongIn evaluates a Pipelinefile and returns its diagnostics.
func wrongIn(t *testing.T, text string) []plan.Diagnostic {
	t.Helper()
	_, err := interp.Eval(t.Context(), write(t, "Pipelinefile", "pipeline('p')\n"+text), interp.Options{})
	var wrong *interp.Error
	if !errors.As(err, &wrong) {
		t.Fatalf("Eval = %v, want an *interp.Error", err)
	}
	return wrong.Diagnostics
}

// TestManyMistakes checks that only the first of many mistakes are reported, with the
// number of the others (L4).
func TestManyMistakes(t *testing.T) {
	for n, want := range map[int]int{1: 1, 50: 50, 51: 51, 52: 51, 300: 51, 3000: 51} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "container(\"a%d\", imag = \"x\")\n", i)
		}
		found := wrongIn(t, b.String())
		if len(found) != want {
			t.Errorf("of %d mistakes %d are told, want %d", n, len(found), want)
			continue
		}
		for i, d := range found {
			if d.Pos.Line != i+2 || d.Line == "" {
				t.Errorf("%d mistakes: the one of index %d is %s", n, i, d)
			}
		}
		message := `container: no parameter "imag"`
		if n > 51 {
			message = fmt.Sprintf("%d more mistakes, from here on", n-50)
		}
		if got := found[len(found)-1].Message; got != message {
			t.Errorf("the last of %d mistakes is %q, want %q", n, got, message)
		}
	}
}

// TestOneMistakeOften checks that equal diagnostics at the same position count once.
func TestOneMistakeOften(t *testing.T) {
	if found := wrongIn(t, "for i in range(3000):\n    port(number = 'x')\n"); len(found) != 1 {
		t.Errorf("%d mistakes are told, want one: %v", len(found), found)
	}
}

// TestManyWarnings checks the same for the warnings of a plan.
func TestManyWarnings(t *testing.T) {
	p, err := interp.Eval(t.Context(), write(t, "Pipelinefile", "pipeline('p')\nfor i in range(200):\n    warn('number %d' % i)\n"), interp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	last := p.Warnings[len(p.Warnings)-1]
	if len(p.Warnings) != 51 || last.Message != "150 more warnings, from here on" || last.Severity != plan.SeverityWarning || last.Pos.Line != 3 {
		t.Errorf("%d warnings, the last is %s", len(p.Warnings), last)
	}
}

// TestManyPlaces checks that the related positions of a mistake, its calls and the
// parameters without values are bounded as well.
func TestManyPlaces(t *testing.T) {
	var params, calls strings.Builder
	for i := range 200 {
		fmt.Fprintf(&params, "param('p%d', help = 'needed')\n", i)
	}
	d := wrongIn(t, params.String())[0]
	if want := "p48, p49 and 150 more need values"; !strings.HasSuffix(d.Message, want) {
		t.Errorf("the message is %q, want %q at its end", d.Message, want)
	}
	if n := len(d.Related); n != 50 || d.Related[49].Message != "and at 151 more places, from here on" || d.Related[49].Line == "" {
		t.Errorf("%d places, the last is %+v", n, d.Related[n-1])
	}

	calls.WriteString("def f0():\n    container('a', imag = 'x')\n")
	for i := 1; i < 200; i++ {
		fmt.Fprintf(&calls, "def f%d():\n    f%d()\n", i, i-1)
	}
	d = wrongIn(t, calls.String()+"f199()\n")[0]
	if n := len(d.Stack); n != 51 || d.Stack[0].Name != "<toplevel>" || d.Stack[24].Name != "f176" || d.Stack[25].Name != "151 more calls" || d.Stack[50].Name != "f0" {
		t.Errorf("%d calls: %+v", n, d.Stack)
	}
}

// TestLineOfMistake checks that the source line is right anywhere in a long file.
func TestLineOfMistake(t *testing.T) {
	for _, n := range []int{0, 1, 254, 255, 256, 257, 511, 512, 1000, 5000} {
		d := wrongIn(t, strings.Repeat("\n", n)+"container('a', imag = 'x')")[0]
		if d.Pos.Line != n+2 || d.Line != "container('a', imag = 'x')" {
			t.Errorf("the mistake in line %d: %s", n+2, d)
		}
	}
}

// TestSourceSize checks that a file that is too large is an error with its position, and
// is not read.
func TestSourceSize(t *testing.T) {
	long := "x = '" + strings.Repeat("a", 4<<20) + "'\n"
	dir := filepath.Dir(write(t, "Pipelinefile", long, "fits", "pipeline('p')\nx = '"+strings.Repeat("a", 4<<20-100)+"'\n", "loads", "load('Pipelinefile', 'x')\n"))
	for name, want := range map[string]string{
		"Pipelinefile": "Pipelinefile:1:1: the file is larger than the limit of 4 MiB",
		"loads":        "Pipelinefile:1:1: the file is larger than the limit of 4 MiB",
		"fits":         "",
	} {
		_, err := interp.Eval(t.Context(), filepath.Join(dir, name), interp.Options{Root: dir})
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("Eval(%s) = %.200v, want %q", name, err, want)
		}
		text, err := interp.ReadSource(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		_, found := interp.Check(t.Context(), name, text, interp.Options{})
		if name == "Pipelinefile" && (len(found) != 1 || found[0].Message != "the file is larger than the limit of 4 MiB") {
			t.Errorf("Check(%s) = %v", name, found)
		}
	}
	_, err := interp.Eval(t.Context(), filepath.Join(dir, "x"), interp.Options{Root: dir, Overlay: map[string][]byte{"x": []byte(long)}})
	if err == nil || !strings.HasPrefix(err.Error(), "x:1:1: the file is larger than the limit of 4 MiB") {
		t.Errorf("Eval of an overlay = %.200v", err)
	}
	if _, err := interp.ReadSource(dir); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("ReadSource of a directory = %v", err)
	}
	if _, err := interp.ReadSource(filepath.Join(dir, "none")); err == nil {
		t.Error("ReadSource of nothing: no error")
	}
}
