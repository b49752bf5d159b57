package interp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/plan"
)

// run evaluates src, with or without guards, and returns the evaluation.
func run(tb testing.TB, src string, guarded bool) (*evaluation, *plan.Plan, error) {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Pipelinefile"), []byte(src), 0o644); err != nil {
		tb.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		tb.Fatal(err)
	}
	defer root.Close()
	e := newEvaluation(context.Background(), root, "Pipelinefile", Options{})
	if !guarded {
		e.guards, e.session.Meter = nil, nil
		e.session.Files.Bound(nil)
		e.env = e.session.Predeclared(nil)
	}
	p, err := e.run()
	return e, p, err
}

// BenchmarkGuard evaluates ordinary programs with and without guards. The metric
// x-unguarded is the ratio of the medians. The runs alternate, because the machine may be
// busy, and no run collects the garbage of another.
func BenchmarkGuard(b *testing.B) {
	data, err := os.ReadFile("testdata/honest.txt")
	if err != nil {
		b.Fatal(err)
	}
	for part := range strings.SplitSeq("\n"+string(data), "\n=== ") {
		name, src, ok := strings.Cut(part, "\n")
		if name == "" || !ok {
			continue
		}
		b.Run(name, func(b *testing.B) {
			took := map[bool][]time.Duration{}
			for b.Loop() {
				for _, guarded := range []bool{false, true} {
					runtime.GC()
					start := time.Now()
					if _, _, err := run(b, src, guarded); err != nil {
						b.Fatal(err)
					}
					took[guarded] = append(took[guarded], time.Since(start))
				}
			}
			b.ReportMetric(float64(median(took[true]))/float64(median(took[false])), "x-unguarded")
		})
	}
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// A program generates random programs. Their values stay small, because nothing bounds
// them without guards.
type program struct {
	seed []byte
	b    strings.Builder
}

func (p *program) pick(list ...string) string {
	n := 0
	if len(p.seed) > 0 {
		n, p.seed = int(p.seed[0]), p.seed[1:]
	}
	return list[n%len(list)]
}

var atoms = []string{
	"0", "1", "-1", "7", "1.5", `""`, `"a"`, `"a b"`, `"%s"`, `"{}"`, `b"x"`, "None", "True", "[]", "[1, 2]", `["a"]`, "()", "(1, 'a')",
	"{}", `{"a": 1}`, "{1: [2]}", "set([1, 2])", "range(3)", "struct(a = 1)", "x", "y", "z", "40000", "1 << 70", "len", "lambda v: v",
}

func (p *program) expr(depth int) string {
	if depth == 0 || len(p.seed) == 0 {
		return p.pick(atoms...)
	}
	e := func() string { return p.expr(depth - 1) }
	switch p.pick("atom", "op", "op", "cmp", "method", "call", "index", "list", "comp", "slice", "unary", "cond", "dict", "format") {
	case "op":
		return "(" + e() + " " + p.pick("+", "-", "*", "/", "//", "%", "&", "|", "^", "in", "not in", "and", "or") + " " + e() + ")"
	case "cmp":
		return "(" + e() + " " + p.pick("==", "!=", "<", "<=", ">", ">=") + " " + e() + ")"
	case "unary":
		return "(" + p.pick("-", "+", "~", "not ") + e() + ")"
	case "method":
		return e() + "." + p.pick("join", "replace", "split", "rsplit", "splitlines", "upper", "strip", "elems", "codepoints", "count",
			"startswith", "append", "extend", "insert", "pop", "remove", "index", "get", "items", "keys", "values", "update", "setdefault",
			"union", "add", "difference", "format", "nothing", "a") + "(" + p.args(depth) + ")"
	case "call":
		return p.pick("list", "tuple", "dict", "set", "str", "repr", "sorted", "zip", "enumerate", "reversed", "bytes", "min", "max", "any",
			"all", "int", "float", "abs", "hash", "len", "type", "getattr", "struct", "json.encode", "json.decode", "f", "g") + "(" + p.args(depth) + ")"
	case "index":
		return e() + "[" + e() + "]"
	case "slice":
		return e() + "[" + e() + ":" + e() + "]"
	case "list":
		return fmt.Sprintf(p.pick("[%s, %s]", "(%s, %s)", "g(%s, a = %s)", "f(b = %s, *%s)"), e(), e())
	case "comp":
		return "[" + e() + " for y in " + e() + " if " + e() + "]"
	case "dict":
		return "{" + e() + ": " + e() + "}"
	case "cond":
		return "(" + e() + " if " + e() + " else " + e() + ")"
	case "format":
		return p.pick(`"%s-%r"`, `"%d"`, `"%(a)s"`, `"%s"`) + " % " + e()
	}
	return p.pick(atoms...)
}

func (p *program) args(depth int) string {
	e := func() string { return p.expr(depth - 1) }
	switch p.pick("", "1", "1", "2", "star", "kw") {
	case "1":
		return e()
	case "2":
		return e() + ", " + e()
	case "star":
		return "*" + e()
	case "kw":
		return e() + ", **" + e()
	}
	return ""
}

func (p *program) stmt() {
	name := p.pick("x", "y", "z")
	switch p.pick("set", "aug", "index", "augindex", "expr", "for") {
	case "set":
		fmt.Fprintf(&p.b, "    %s = %s\n", name, p.expr(3))
	case "aug":
		fmt.Fprintf(&p.b, "    %s %s= %s\n", name, p.pick("+", "-", "*", "|", "%", "//", "&", "^"), p.expr(2))
	case "index":
		fmt.Fprintf(&p.b, "    %s[%s] = %s\n", name, p.expr(1), p.expr(2))
	case "augindex":
		fmt.Fprintf(&p.b, "    %s[%s] %s= %s\n", name, p.expr(1), p.pick("+", "*", "|", "%", "-"), p.expr(2))
	case "expr":
		fmt.Fprintf(&p.b, "    %s\n", p.expr(3))
	case "for":
		fmt.Fprintf(&p.b, "    for %s in %s:\n        z = %s\n", name, p.expr(2), p.expr(2))
	}
}

// write returns a program whose result is r.
func (p *program) write() string {
	p.b.WriteString("pipeline('p')\ndef g(*args, **kwargs):\n    return (args, kwargs)\ndef f(a, b = 1, *c, **d):\n    return [a, b, c, d]\n")
	fmt.Fprintf(&p.b, "def main():\n    x = %s\n    y = %s\n    z = %s\n", p.expr(1), p.expr(1), p.expr(1))
	for range 4 {
		p.stmt()
	}
	p.b.WriteString("    return (x, y, z)\nr = main()\n")
	return p.b.String()
}

// FuzzGuard checks that a program with guards does the same as without them, and fails
// with the same message.
func FuzzGuard(f *testing.F) {
	for i := range uint64(300) {
		var seed []byte
		for k := range uint64(12) {
			seed = binary.LittleEndian.AppendUint64(seed, (i+1)*0x9e3779b97f4a7c15*(2*k+1)+k*0x632be59bd9b4e019)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed []byte) {
		p := program{seed: seed[:min(len(seed), 200)]}
		src := p.write()
		want, wrong := outcome(t, src, false)
		got, ours := outcome(t, src, true)
		if strings.Contains(ours, "larger than the limit") || strings.Contains(ours, "too many steps") || strings.Contains(ours, "takes more than") {
			return // guards exist for this
		}
		if got != want || wrong != ours {
			t.Errorf("with guards %s, error %s\nwithout     %s, error %s\n%s", got, ours, want, wrong, src)
		}
	})
}

func outcome(t *testing.T, src string, guarded bool) (result, wrong string) {
	t.Helper()
	e, _, err := run(t, src, guarded)
	var all *Error
	if errors.As(err, &all) {
		// The interpreter does not record a column for slices.
		d := all.Diagnostics[0]
		return "", fmt.Sprintf("line %d: %s", d.Pos.Line, d.Message)
	} else if err != nil {
		return "", err.Error()
	}
	m := e.modules["Pipelinefile"]
	if _, ok := m.globals["r"].(starlark.Tuple); !ok {
		return "none", ""
	}
	return m.globals["r"].String(), ""
}
