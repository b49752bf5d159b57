package interp

import (
	"bytes"
	"cmp"
	"os"
	"slices"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// Refuse returns the error of a host program that does not accept a plan, or nil
// if nothing is wrong with it. It is an *Error with the rules that the plan
// breaks, in source order: the file that calls pipeline() first. A diagnostic
// needs no more than a message and a position of the plan, such as that of a
// service: it gets the severity [plan.SeverityError] and the text of its line.
//
// root is the workspace that the plan was evaluated in. A line stays empty where
// its file is not there any more as evaluation has read it.
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

// linesOf returns what gives the line at a position in a module that evaluation
// has read below root. It reads a module when it is first asked for one of its
// lines, with the care that evaluation takes: the workspace is a stranger's.
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

// readAgain returns the module of that name if it is as it was read before, and
// otherwise one without lines.
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
