package lsp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// How long the server waits after a keystroke before it evaluates, and how long
// an evaluation may take. These limits belong to the editor, not to the
// language.
const (
	pause         = 100 * time.Millisecond
	maxEvaluation = 20 * time.Second
)

var (
	errNewer   = errors.New("the text has changed")
	errTooLong = fmt.Errorf("evaluation stopped after %s", maxEvaluation)
)

// A subject is a file that is evaluated by itself: a Pipelinefile, or a module
// that no file loads, which is checked without being run.
type subject struct {
	file   string
	root   string
	run    bool
	cancel context.CancelCauseFunc // of the current evaluation; nil: none
	turn   int                     // counts the evaluations
	plan   *plan.Plan              // the last valid one
	inputs map[string]bool         // files that the last evaluation read
	found  map[string][]diagnostic // by file
}

// A verdict is the result of an evaluation.
type verdict struct {
	subject *subject
	turn    int
	plan    *plan.Plan
	inputs  []plan.Input
	diags   []plan.Diagnostic
	other   error // of the evaluation itself, not of the text

	findings []finding // of lint, if there are no errors
}

// touch notes that a file has changed.
func (s *server) touch(file string) {
	if !slices.Contains(s.touched, file) {
		s.touched = append(s.touched, file)
	}
}

// settle schedules the evaluation of every subject that depends on a changed file.
func (s *server) settle(ctx context.Context) {
	if len(s.touched) == 0 || s.shut {
		return
	}
	looking, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	var stale []*subject
	for _, file := range s.touched {
		for _, sub := range s.subjectsOf(looking, file) {
			if !slices.Contains(stale, sub) {
				stale = append(stale, sub)
			}
		}
	}
	s.touched = nil
	for _, sub := range stale {
		s.schedule(ctx, sub)
	}
}

// subjectsOf returns the subjects to evaluate when a file has changed.
func (s *server) subjectsOf(ctx context.Context, file string) []*subject {
	if isLibrary(file) {
		return nil
	}
	if s.runs(file) {
		s.subject(file, true)
	}
	var out []*subject
	for _, name := range slices.Sorted(maps.Keys(s.subjects)) {
		if sub := s.subjects[name]; sub.run && (sub.file == file || sub.inputs[file] || s.reaches(ctx, sub.file, file)) {
			out = append(out, sub)
		}
	}
	if len(out) == 0 && isModule(file) {
		for _, name := range s.workspace.files(ctx, s.workspace.roots(file)) {
			if s.runs(name) && s.reaches(ctx, name, file) {
				out = append(out, s.subject(name, true))
			}
		}
	}
	if alone := s.subjects[file]; len(out) > 0 && alone != nil && !alone.run {
		s.forget(alone)
	}
	if len(out) == 0 && s.workspace.docs[file] != nil {
		out = append(out, s.subject(file, false))
	}
	return out
}

// runs reports whether a file is evaluated by itself. A file opened under any
// other name, such as a new file, counts unless it looks like a module.
func (s *server) runs(file string) bool {
	return isPipelinefile(file) || s.workspace.docs[file] != nil && !isModule(file)
}

func (s *server) subject(file string, run bool) *subject {
	sub := s.subjects[file]
	if sub == nil || sub.run != run {
		sub = &subject{file: file, root: s.workspace.root(file), run: run}
		s.subjects[file] = sub
	}
	return sub
}

// forget drops a subject and its diagnostics.
func (s *server) forget(sub *subject) {
	if sub.cancel != nil {
		sub.cancel(errNewer)
	}
	delete(s.subjects, sub.file)
	files := slices.Sorted(maps.Keys(sub.found))
	sub.found = nil
	s.publish(files)
}

// reaches reports whether a file loads another, directly or indirectly.
func (s *server) reaches(ctx context.Context, from, to string) bool {
	seen := map[string]bool{from: true}
	for queue := []string{from}; len(queue) > 0 && len(seen) < maxFiles; queue = queue[1:] {
		m := s.workspace.module(ctx, queue[0])
		if m == nil || isLibrary(m.file) {
			continue
		}
		for _, l := range m.loads {
			file, ok := s.workspace.find(m, l.Module.Value.(string))
			if !ok || seen[file] {
				continue
			}
			if file == to {
				return true
			}
			seen[file] = true
			queue = append(queue, file)
		}
	}
	return false
}

// schedule starts an evaluation and cancels the one that it supersedes.
func (s *server) schedule(ctx context.Context, sub *subject) {
	if sub.cancel != nil {
		sub.cancel(errNewer)
	}
	sub.turn++
	ctx, sub.cancel = context.WithCancelCause(ctx)
	v := verdict{subject: sub, turn: sub.turn}
	opts := interp.Options{
		Environment: s.opts.Environment, Params: s.params, Limits: s.opts.Limits, Version: s.opts.Version, Cache: s.opts.Cache,
		Builtins: s.opts.Builtins, Modules: s.opts.Modules,
		Root: sub.root, StandIns: true, Overlay: map[string][]byte{},
	}
	for file, d := range s.workspace.docs {
		if name := paths.Below(sub.root, file); name != "" {
			opts.Overlay[name] = []byte(d.text.data)
		}
	}
	s.work.Go(func() {
		v.evaluate(ctx, opts, s.opts.Dockerfiles, s.turns)
		select {
		case s.verdicts <- v:
		case <-ctx.Done():
		}
	})
}

// evaluate fills in the verdict. It starts after a pause and in turn:
// evaluations run one after another, because each may take much memory.
func (v *verdict) evaluate(ctx context.Context, opts interp.Options, docker dockerfileCheck, turns chan struct{}) {
	wait := time.NewTimer(pause)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return
	}
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
	case <-ctx.Done():
		return
	}
	ctx, stop := context.WithTimeoutCause(ctx, maxEvaluation, errTooLong)
	defer stop()
	if !v.subject.run {
		name := paths.Below(opts.Root, v.subject.file)
		if _, v.diags = interp.Check(ctx, name, opts.Overlay[name], opts); len(v.diags) == 0 {
			v.lint(ctx, opts)
		}
		return
	}
	p, err := interp.Eval(ctx, v.subject.file, opts)
	var wrong *interp.Error
	switch {
	case err == nil:
		v.plan, v.inputs = p, p.Inputs
		for _, w := range p.Warnings {
			if w.Rule == "" { // the others are findings of lint
				v.diags = append(v.diags, w)
			}
		}
		v.lint(ctx, opts)
		v.dockerfiles(ctx, opts, docker)
	case errors.As(err, &wrong):
		v.inputs, v.diags = wrong.Inputs, wrong.Diagnostics
	default:
		v.other = err
	}
}

// judged applies the result of an evaluation.
func (s *server) judged(v verdict) {
	sub := v.subject
	if v.turn != sub.turn || s.subjects[sub.file] != sub {
		return
	}
	sub.cancel(nil)
	sub.cancel = nil
	if v.plan != nil {
		sub.plan = v.plan
	}
	if v.other == nil {
		sub.inputs = map[string]bool{}
		for _, in := range v.inputs {
			sub.inputs[filepath.Join(sub.root, filepath.FromSlash(in.Path))] = true
		}
	}
	before := sub.found
	sub.found = map[string][]diagnostic{}
	for _, d := range v.diags {
		file, shown := s.diagnostic(sub, d)
		sub.found[file] = append(sub.found[file], shown)
	}
	for _, f := range v.findings {
		file, shown := f.shown(s, sub)
		sub.found[file] = append(sub.found[file], shown)
	}
	if v.other != nil {
		sub.found[sub.file] = []diagnostic{{Severity: severityWarning, Source: source, Message: v.other.Error()}}
	}
	files := map[string]bool{sub.file: true}
	for file := range s.workspace.docs { // a document without diagnostics needs an empty list
		if sub.inputs[file] {
			files[file] = true
		}
	}
	for file := range before {
		files[file] = true
	}
	for file := range sub.found {
		files[file] = true
	}
	s.publish(slices.Sorted(maps.Keys(files)))
}

// source names the origin of diagnostics.
const source = "pipe"

// diagnostic converts d to the protocol and returns the file it belongs to. An
// error in a library is shown at the call in the workspace that led to it.
func (s *server) diagnostic(sub *subject, d plan.Diagnostic) (string, diagnostic) {
	out := diagnostic{Severity: severityError, Source: source, Message: d.Message}
	if d.Severity == plan.SeverityWarning {
		out.Severity = severityWarning
	}
	if d.Hint != "" {
		out.Message += "\n" + d.Hint
	}
	pos, line := d.Pos, d.Line
	for _, fr := range slices.Backward(d.Stack) {
		if !isLibrary(pos.File) {
			break
		}
		pos, line = fr.Pos, ""
	}
	if pos != d.Pos {
		out.Message = d.Pos.String() + ": " + out.Message
	}
	for _, r := range d.Related {
		out.related(s, sub, r.Pos, r.Line, r.Message)
	}
	for _, fr := range slices.Backward(d.Stack) {
		if fr.Pos.File != pos.File || fr.Pos.Line != pos.Line {
			out.related(s, sub, fr.Pos, "", "called here, in "+fr.Name)
		}
	}
	file := sub.file
	if pos.File != "" && !isLibrary(pos.File) {
		file = filepath.Join(sub.root, filepath.FromSlash(pos.File))
	}
	out.Range = s.place(file, pos, line)
	if pos == d.Pos && d.Suggest != "" {
		out.Data = &correction{Suggest: d.Suggest}
	}
	return file, out
}

func (d *diagnostic) related(s *server, sub *subject, pos plan.Pos, line, message string) {
	file := pos.File
	if !isLibrary(file) {
		file = filepath.Join(sub.root, filepath.FromSlash(file))
	}
	if uri := s.workspace.uriOf(file); uri != "" && pos.Line > 0 {
		d.Related = append(d.Related, related{location{uri, s.place(file, pos, line)}, message})
	}
}

// place returns the range of the word or string at a position of a plan. line
// is that line, if known; otherwise it is read from the open document.
func (s *server) place(file string, pos plan.Pos, line string) span {
	if pos.Line < 1 {
		return span{}
	}
	if d := s.workspace.docs[file]; line == "" && d != nil {
		line = d.text.line(pos.Line - 1)
	}
	start := runes(line, pos.Col-1)
	if line == "" {
		start = 0
	}
	end := start + tokenLen(line[start:])
	at := func(i int) position { return position{pos.Line - 1, utf16Count(line[:i])} }
	return span{at(start), at(end)}
}

// tokenLen returns the length of the name, dotted name, string or token at the start of s.
func tokenLen(s string) int {
	if s == "" {
		return 0
	}
	if q := s[0]; q == '"' || q == '\'' {
		if i := strings.IndexByte(s[1:], q); i >= 0 {
			return i + 2
		}
		return len(s)
	}
	n := 0
	for n < len(s) && isNameByte(s[n]) {
		n++
	}
	if n == 0 {
		n = runes(s, 1)
	}
	return n
}

// publish sends the editor all diagnostics of some files.
func (s *server) publish(files []string) {
	for _, file := range files {
		p := publishParams{URI: s.workspace.uriOf(file), Diagnostics: []diagnostic{}}
		if p.URI == "" {
			continue
		}
		if d := s.workspace.docs[file]; d != nil {
			p.Version = &d.version
		}
		for _, name := range slices.Sorted(maps.Keys(s.subjects)) {
			for _, d := range s.subjects[name].found[file] {
				if !slices.ContainsFunc(p.Diagnostics, func(o diagnostic) bool { return o.Range == d.Range && o.Message == d.Message }) {
					p.Diagnostics = append(p.Diagnostics, d)
				}
			}
		}
		s.send("textDocument/publishDiagnostics", p)
	}
}

// planOf returns a plan that a file is part of: its own, or that of the first
// Pipelinefile that reads it. It is nil until one of them evaluates.
func (s *server) planOf(file string) (*plan.Plan, string) {
	if sub := s.subjects[file]; sub != nil && sub.plan != nil {
		return sub.plan, sub.root
	}
	for _, name := range slices.Sorted(maps.Keys(s.subjects)) {
		if sub := s.subjects[name]; sub.plan != nil && sub.inputs[file] {
			return sub.plan, sub.root
		}
	}
	return nil, ""
}
