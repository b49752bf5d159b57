// Package repl evaluates a pipeline input by input.
package repl

import (
	"context"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	host "github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// dialect is that of Pipelinefiles; it is used to find the end of an input.
var dialect = &syntax.FileOptions{Set: true, TopLevelControl: true, GlobalReassign: true}

// A Session is a Pipelinefile that grows by one input at a time. Evaluation is
// hermetic: each input is evaluated again together with all accepted inputs, so
// that a failed input has no effect and any input can be undone.
type Session struct {
	opts   interp.Options
	file   string // on disk; need not exist
	name   string // relative to the workspace
	base   string // the initial source of the Pipelinefile
	inputs []string
}

// New returns a session that starts with the source of a Pipelinefile, which
// may be empty. The limits of opts apply to the session as a whole. opts.Root
// is required; Overlay, Builtins and Print are not used.
func New(file, base string, opts interp.Options) (*Session, error) {
	name, err := filepath.Rel(opts.Root, file)
	if err != nil {
		return nil, err
	}
	return &Session{opts: opts, file: file, name: filepath.ToSlash(name), base: base}, nil
}

// Next is the number of the next input, from 1. Positions in it have the file "[1]".
func (s *Session) Next() int { return len(s.inputs) + 1 }

// Undo removes the last accepted input and returns it; "" if there is none.
func (s *Session) Undo() string {
	if len(s.inputs) == 0 {
		return ""
	}
	last := s.inputs[len(s.inputs)-1]
	s.inputs = s.inputs[:len(s.inputs)-1]
	return last
}

// Reset removes all inputs.
func (s *Session) Reset() { s.inputs = nil }

// Eval evaluates an input and keeps it if there is no error. It returns the
// value as a string if the input ends with an expression, and "" for None. Each
// call of print in the input calls printed. If the input is invalid, the error is
// an *interp.Error.
func (s *Session) Eval(ctx context.Context, input string, printed func(text string)) (string, error) {
	t := s.text()
	t.add("_repl_begin()", plan.Pos{})
	t.show(input, s.Next())
	var value string
	begun := false
	opts := s.opts
	opts.Print = func(_ plan.Pos, text string) {
		if begun && printed != nil {
			printed(text)
		}
	}
	opts.Builtins = []*host.Func{
		host.New("_repl_begin", "None", "Marks the end of the accepted inputs.", func(*host.Call, *struct{}) (starlark.Value, error) {
			begun = true
			return starlark.None, nil
		}),
		host.New("_repl_show", "None", "Shows a value.", func(_ *host.Call, a *struct {
			Text string `arg:"text" help:"what is shown"`
		}) (starlark.Value, error) {
			if a.Text != starlark.None.String() {
				value = a.Text
			}
			return starlark.None, nil
		}),
	}
	if err := s.run(ctx, t, opts); err != nil {
		return "", err
	}
	s.inputs = append(s.inputs, input)
	return value, nil
}

// Plan returns the plan of all accepted inputs.
func (s *Session) Plan(ctx context.Context) (*plan.Plan, error) {
	t := s.text()
	p, err := interp.Eval(ctx, s.file, s.overlay(t, s.opts))
	if err != nil {
		return nil, t.explain(s.name, err)
	}
	t.locate(s.name, reflect.ValueOf(p))
	return p, nil
}

var word = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_.]*$`)

// Complete returns the possible completions of the last word of a line, sorted,
// and the offset in the line at which that word, or its part after the last
// dot, starts.
func (s *Session) Complete(ctx context.Context, line string) (start int, names []string) {
	last := word.FindString(line)
	of, part, dotted := cutLast(last)
	if !dotted {
		of, part = "", last
	}
	if last == "" {
		return len(line), nil
	}
	if dotted {
		names = s.attrs(ctx, of)
	} else {
		names = s.names(ctx)
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		return !strings.HasPrefix(n, part) || part == "" && strings.HasPrefix(n, "_")
	})
	slices.Sort(names)
	return len(line) - len(part), slices.Compact(names)
}

func cutLast(dotted string) (of, name string, ok bool) {
	i := strings.LastIndexByte(dotted, '.')
	if i < 0 {
		return "", "", false
	}
	return dotted[:i], dotted[i+1:], true
}

// attrs returns the attribute names of the value of an expression.
func (s *Session) attrs(ctx context.Context, expr string) (names []string) {
	t := s.text()
	t.add("_repl_names(dir("+expr+"))", plan.Pos{})
	opts := s.opts
	opts.Print = nil
	opts.Builtins = []*host.Func{host.New("_repl_names", "None", "Takes names.", func(_ *host.Call, a *struct {
		Names []string `arg:"names" help:"of attributes"`
	}) (starlark.Value, error) {
		names = a.Names
		return starlark.None, nil
	})}
	_ = s.run(ctx, t, opts) // an invalid expression has no attributes
	return names
}

// names returns every name in scope of an input.
func (s *Session) names(ctx context.Context) []string {
	names := append(starlark.Universe.Keys(), builtins.NewSession(builtins.NewFiles(nil, 0)).Predeclared(nil).Keys()...)
	tree, _ := interp.Check(ctx, s.name, []byte(s.text().String()), s.opts)
	if tree == nil {
		return names
	}
	if m, ok := tree.Module.(*resolve.Module); ok {
		for _, b := range slices.Concat(m.Globals, m.Locals) {
			if b.First != nil {
				names = append(names, b.First.Name)
			}
		}
	}
	return names
}

// run evaluates a text.
func (s *Session) run(ctx context.Context, t *text, opts interp.Options) error {
	return t.explain(s.name, interp.Run(ctx, s.file, s.overlay(t, opts)))
}

func (s *Session) overlay(t *text, opts interp.Options) interp.Options {
	opts.Overlay = map[string][]byte{s.name: []byte(t.String())}
	return opts
}

// text returns the accepted inputs.
func (s *Session) text() *text {
	t := &text{}
	if s.base != "" {
		t.addAll(s.base, s.name)
	}
	for i, input := range s.inputs {
		t.addAll(input, inputName(i+1))
	}
	return t
}
