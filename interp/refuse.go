package interp

import (
	"bytes"
	"cmp"
	"os"
	"slices"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// Refuse returns the error of a host program that rejects a plan, or nil if wrong is
// empty. It is an *Error with the rules that the plan violates, in source order, starting
// with the file that calls pipeline(). A diagnostic needs only a message and a position
// in the plan, such as that of a service: Refuse adds the severity [plan.SeverityError]
// and the source line.
//
// root is the workspace in which the plan was evaluated. A line stays empty if its file
// has changed or was deleted since evaluation.
func Refuse(root string, p *plan.Plan, wrong []plan.Diagnostic) error {
	if len(wrong) == 0 {
		return nil
	}
	line := linesOf(root, p.Inputs)
	wrong = slices.Clone(wrong)
	for i := range wrong {
		d := &wrong[i]
		d.Severity = cmp.Or(d.Severity, plan.SeverityError)
		d.Line = cmp.Or(d.Line, line(d.Pos))
		d.Related = slices.Clone(d.Related)
		for j := range d.Related {
			d.Related[j].Line = cmp.Or(d.Related[j].Line, line(d.Related[j].Pos))
		}
	}
	slices.SortStableFunc(wrong, func(a, b plan.Diagnostic) int {
		if first := p.Pipeline.Pos.File; a.Pos.File != b.Pos.File && (a.Pos.File == first || b.Pos.File == first) {
			if a.Pos.File == first {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	return &Error{Diagnostics: wrong, Inputs: slices.Clone(p.Inputs)}
}

// linesOf returns a function that returns the source line at a position in a module that
// evaluation has read below root. It reads a module when a line of it is first requested,
// with the same precautions as evaluation: the workspace is not trusted.
func linesOf(root string, inputs []plan.Input) func(plan.Pos) string {
	modules := map[string]*builtins.Source{}
	return func(pos plan.Pos) string {
		src, known := modules[pos.File]
		if !known {
			src = readAgain(root, pos.File, inputs)
			modules[pos.File] = src
		}
		return src.Line(pos.Line)
	}
}

// readAgain reads the module of that name again. If the module has changed since
// evaluation, it returns a source without lines.
func readAgain(root, name string, inputs []plan.Input) *builtins.Source {
	none := builtins.NewSource(name, false, nil, nil)
	i := slices.IndexFunc(inputs, func(in plan.Input) bool { return in.Path == name && in.Kind == plan.InputModule })
	if i < 0 {
		return none
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return none
	}
	defer func() { _ = dir.Close() }() // nothing was written
	text, err := builtins.NewFiles(dir, DefaultSize).Read(name, plan.InputModule)
	if err != nil || plan.DigestOf(text) != inputs[i].Digest {
		return none
	}
	return newSource(source{name: name}, bytes.TrimPrefix(text, []byte("\ufeff")), nil)
}
