package lsp

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/lint"
	"github.com/pipelinefile/pipe/plan"
)

// lint adds the findings for open files to the verdict. It runs only if the
// evaluation found no errors.
func (v *verdict) lint(ctx context.Context, opts interp.Options) {
	ofPlan := map[string][]lint.Finding{}
	names := []string{paths.Below(opts.Root, v.subject.file)}
	if v.plan != nil {
		for _, f := range lint.Plan(v.plan) {
			ofPlan[f.Pos.File] = append(ofPlan[f.Pos.File], f)
		}
		for _, in := range v.plan.Inputs {
			if in.Kind == plan.InputModule && in.Path != names[0] {
				names = append(names, in.Path)
			}
		}
	}
	for _, name := range names {
		src, open := opts.Overlay[name]
		kind := lint.Module
		if v.subject.run && name == names[0] {
			kind = lint.Pipelinefile
		}
		if !open {
			continue
		}
		found, err := lint.Source(ctx, name, kind, src, opts)
		if err != nil {
			continue
		}
		text := string(src)
		for _, f := range lint.First(maxFindings, lint.Silence(name, src, append(found, ofPlan[name]...), v.plan != nil)) {
			v.findings = append(v.findings, finding{f, lineOf(text, f.Pos.Line), edit(text, f.Fix)})
		}
	}
}

// maxFindings limits how many findings of a file are sent to the editor; the
// last one says how many more there are.
const maxFindings = 50

// A dockerfileCheck is Options.Dockerfiles.
type dockerfileCheck func(ctx context.Context, p *plan.Plan, read func(name string) ([]byte, error)) ([]lint.Finding, error)

// dockerfiles adds the findings for the Dockerfiles of the plan, as they are on
// disk: the server does not manage these documents.
func (v *verdict) dockerfiles(ctx context.Context, opts interp.Options, check dockerfileCheck) {
	if check == nil {
		return
	}
	found, err := check(ctx, v.plan, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(opts.Root, filepath.FromSlash(name)))
	})
	if err != nil { // deleted since the evaluation, or not valid for BuildKit
		return
	}
	for _, f := range lint.First(maxFindings, found) {
		v.findings = append(v.findings, finding{Finding: f, line: f.Line})
	}
}

// A finding is a finding of lint with its fix.
type finding struct {
	lint.Finding
	line string
	fix  *textEdit
}

// shown converts the finding to the protocol, for a file of the subject's workspace.
func (f finding) shown(s *server, sub *subject) (string, diagnostic) {
	d := f.Diagnostic()
	d.Line = f.line
	d.Message = f.Message
	file, out := s.diagnostic(sub, d)
	out.Code = f.Rule
	if f.fix != nil {
		out.Data = &correction{Edit: f.fix}
	}
	return file, out
}

func lineOf(text string, n int) string {
	for ; n > 1; n-- {
		_, rest, ok := strings.Cut(text, "\n")
		if !ok {
			return ""
		}
		text = rest
	}
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSuffix(line, "\r")
}

// edit converts a fix of lint to the protocol.
func edit(text string, e *lint.Edit) *textEdit {
	if e == nil || !utf8.ValidString(text) {
		return nil
	}
	at := func(p plan.Pos) position {
		line := lineOf(text, p.Line)
		return position{max(p.Line-1, 0), utf16Count(line[:runes(line, p.Col-1)])}
	}
	return &textEdit{span{at(e.Start), at(e.End)}, e.New}
}
