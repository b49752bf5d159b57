package lsp

import (
	"context"
	"fmt"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/plan"
)

func (s *server) hover(ctx context.Context, p positionParams) (any, error) {
	m, off, err := s.here(ctx, p)
	if err != nil {
		return nil, err
	}
	if q, ok := m.quoteAt(off); ok {
		if text := s.hoverText(ctx, m, q); text != "" {
			return hover{markdown(text), m.text.span(q.start, q.end)}, nil
		}
	}
	u, ok := m.useAt(off)
	if !ok {
		return nil, nil
	}
	text := s.hoverName(ctx, m, u)
	if text == "" {
		return nil, nil
	}
	return hover{markdown(text), m.text.span(u.start, u.end())}, nil
}

func code(text string) string { return "```python\n" + text + "\n```" }

// paragraphs joins the parts that are not empty.
func paragraphs(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, "\n\n")
}

func (s *server) hoverName(ctx context.Context, m *module, u use) string {
	f := s.finder(ctx)
	name := u.id.Name
	switch {
	case u.call != nil: // the name of an argument
		fn := f.expr(m, u.call.Fn, 0).fn
		if fn == nil {
			return ""
		}
		return s.hoverParam(fn, fn.signature().parameter(0, name))
	case u.dot != nil:
		x := f.expr(m, u.dot.X, 0)
		for _, a := range s.table.types[x.typ].Attrs {
			if a.Name == name {
				return paragraphs(code("."+name+": "+a.Type), a.Doc, "of `"+x.typ+"`")
			}
		}
		v := f.attr(x, name)
		return s.hoverValue(m, name, v)
	case u.load != nil && u.decl == nil: // the original name of a renamed import
		from := s.workspace.loaded(ctx, m, u.load.Module.Value.(string))
		if from == nil || from.globals[name] == nil {
			return ""
		}
		return s.hoverDecl(f, from, from.globals[name])
	case u.decl != nil:
		return s.hoverDecl(f, m, u.decl)
	}
	if b, ok := u.id.Binding.(*resolve.Binding); !ok || b.Scope == resolve.Undefined {
		return ""
	}
	if n, ok := s.table.names[name]; ok {
		return paragraphs(code(name+": "+n.Type), n.Doc)
	}
	if v := s.table.builtin(m, name); v.fn != nil || v.lib != "" {
		return s.hoverValue(m, name, v)
	}
	return paragraphs(code(name), "A Starlark builtin.")
}

func (s *server) hoverParam(fn *function, p *param) string {
	if p == nil {
		return ""
	}
	text := p.name
	if p.typ != "" {
		text += ": " + p.typ
	}
	if p.def != "" {
		text += " = " + p.def
	}
	choices := ""
	if len(p.choices) > 0 {
		choices = "One of `" + strings.Join(p.choices, "`, `") + "`."
	}
	return paragraphs(code(text), p.help, choices, "of `"+fn.name()+"`")
}

func (s *server) hoverDecl(f finder, m *module, d *decl) string {
	from, g := f.meaning(m, d)
	if g.param && g.in != nil {
		fn := &function{def: g.in, mod: from}
		return s.hoverParam(fn, fn.signature().parameter(0, g.id.Name))
	}
	return s.hoverValue(from, g.id.Name, f.decl(from, g, 0))
}

func (s *server) hoverValue(m *module, name string, v value) string {
	switch {
	case v.fn != nil:
		from := ""
		if v.fn.mod != nil && v.fn.mod != m {
			from = "from `" + s.shown(v.fn.mod) + "`"
		}
		doc := ""
		if d := v.fn.doc(); d != nil {
			doc = d.Value
		}
		return paragraphs(code(v.fn.signature().label), doc, from)
	case v.lib != "":
		var names []string
		for _, fn := range s.table.libs[v.lib] {
			names = append(names, "`"+fn.Name+"`")
		}
		return paragraphs(code(name), "A library: "+strings.Join(names, ", "))
	case v.typ == "" && v.fields == nil:
		return code(name)
	}
	typ := v.typ
	if typ == "" {
		typ = "struct"
	}
	return paragraphs(code(name+": "+typ), s.inPlan(v))
}

// shown returns the name of a module as it is displayed.
func (s *server) shown(m *module) string {
	if name := paths.Below(m.root, m.file); name != "" && !isLibrary(m.file) {
		return name
	}
	return m.file
}

// inPlan describes the service, stage or parameter that a call produced in the plan.
func (s *server) inPlan(v value) string {
	if v.call == nil {
		return ""
	}
	p, root := s.planOf(v.mod.file)
	if p == nil {
		return ""
	}
	start, _ := v.call.Span()
	at := plan.Pos{File: paths.Below(root, v.mod.file), Line: int(start.Line), Col: int(start.Col)}
	name := ""
	if len(v.call.Args) > 0 {
		if lit, ok := v.call.Args[0].(*syntax.Literal); ok {
			name, _ = lit.Value.(string)
		}
	}
	switch v.typ {
	case "service":
		return serviceIn(p, func(sv *plan.Service) bool { return sv.Pos == at || sv.Name == name })
	case "stage":
		return stageIn(p, func(st *plan.Stage) bool { return st.Pos == at || st.Name == name })
	}
	for _, pa := range p.Params {
		if pa.Pos == at {
			kind := "given"
			if pa.Default {
				kind = "the default"
			}
			return fmt.Sprintf("The parameter `%s` is `%s` (%s).", pa.Name, pa.Value, kind)
		}
	}
	return ""
}

// serviceIn describes the services of the plan that ok accepts.
func serviceIn(p *plan.Plan, ok func(*plan.Service) bool) string {
	var out []string
	for i := range p.Services {
		if sv := &p.Services[i]; ok(sv) && len(out) < 5 {
			out = append(out, describe(p, sv))
		}
	}
	return strings.Join(out, "\n\n")
}

func describe(p *plan.Plan, sv *plan.Service) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** is %s in the stage **%s**, %s.\n", sv.Name, sv.Type, sv.Stage, sv.Placed.Why(sv.Type))
	switch im := sv.Image; {
	case im.Build != "":
		fmt.Fprintf(&b, "- image: built")
		if spec := p.Build(im.Build); spec != nil {
			from := spec.Source.Path
			if spec.Source.Git != "" {
				from = spec.Source.Git
			}
			with := spec.Dockerfile
			if spec.Command != nil {
				with = strings.Join(spec.Command.Args, " ")
			}
			if spec.Go != nil {
				with = "go build ./" + spec.Go.Package
			}
			if spec.Buildpack != nil {
				with = spec.ImageArgs[plan.BuildpackBuilder].Mirror
				if of := spec.ImageArgs[plan.BuildpackBuilder].Build; of != "" {
					with = "the image of " + of
				}
			}
			fmt.Fprintf(&b, " from `%s` with `%s`", from, with)
		}
		if im.Build != sv.Name {
			fmt.Fprintf(&b, ", shared with **%s**", im.Build)
		}
		b.WriteString("\n")
	case im.Mirror != "":
		fmt.Fprintf(&b, "- image: `%s`, mirrored\n", im.Mirror)
	case im.Ref != "":
		fmt.Fprintf(&b, "- image: `%s`\n", im.Ref)
	}
	if text := sv.OthersImages(); text != "" {
		fmt.Fprintf(&b, "- images: %s\n", text)
	}
	switch {
	case sv.Generated():
		b.WriteString("- chart: generated\n")
	case sv.Chart == nil:
		fmt.Fprintf(&b, "- manifests: %d\n", len(sv.Manifests))
	default:
		b.WriteString("- chart: its own\n")
	}
	var ports []string
	for _, po := range sv.Workload.Ports {
		ports = append(ports, fmt.Sprintf("%d", po.Number))
	}
	if len(ports) > 0 {
		fmt.Fprintf(&b, "- ports: %s\n", strings.Join(ports, ", "))
	}
	if sv.Skip {
		b.WriteString("- skipped")
		if sv.SkipWhy != nil {
			fmt.Fprintf(&b, ": %s", sv.SkipWhy.Text)
		}
		b.WriteString("\n")
	}
	return strings.TrimSpace(b.String())
}

// stageIn describes the stage of the plan that ok accepts.
func stageIn(p *plan.Plan, ok func(*plan.Stage) bool) string {
	for i := range p.Stages {
		st := &p.Stages[i]
		if !ok(st) {
			continue
		}
		var names []string
		for _, sv := range p.Services {
			if sv.Stage == st.Name {
				names = append(names, sv.Name)
			}
		}
		in := "no services"
		if len(names) > 0 {
			in = strings.Join(names, ", ")
		}
		return paragraphs(fmt.Sprintf("The stage **%s**, %d of %d, order %d: %s.", st.Name, i+1, len(p.Stages), st.Order, in), st.Description)
	}
	return ""
}

// hoverText describes what a string refers to: a module, a stage or a service.
func (s *server) hoverText(ctx context.Context, m *module, q quoted) string {
	if q.load != nil {
		if q.lit != q.load.Module {
			return ""
		}
		from := s.workspace.loaded(ctx, m, q.value)
		if from == nil || from.tree == nil {
			return ""
		}
		return paragraphs("`"+s.shown(from)+"`", builtins.Docstring(from.tree.Stmts))
	}
	p, _ := s.planOf(m.file)
	if p == nil {
		return ""
	}
	switch s.meant(ctx, m, q) {
	case meansStage:
		return stageIn(p, func(st *plan.Stage) bool { return st.Name == q.value })
	case meansService:
		return serviceIn(p, func(sv *plan.Service) bool { return sv.Name == q.value })
	}
	return ""
}

// A meaning is what a string refers to.
type meaning int

const (
	meansNothing meaning = iota
	meansStage
	meansService
)

// meant returns what a string argument refers to, where a stage or a service is
// declared and where one is expected.
func (s *server) meant(ctx context.Context, m *module, q quoted) meaning {
	f := s.finder(ctx)
	fn := f.expr(m, q.call.Fn, 0).fn
	if fn == nil {
		return meansNothing
	}
	p := fn.signature().parameter(q.arg, q.keyword)
	switch {
	case p == nil:
		return meansNothing
	case p.takesStage(), fn.name() == "stage" && p.name == "name":
		return meansStage
	case fn.builtin == nil && p.name == "stage":
		return meansStage
	case fn.builtin != nil && fn.builtin.Name == "skip":
		return meansService
	}
	if v := f.call(m, q.call, 0); v.typ == "service" && p.name == "name" {
		return meansService
	}
	return meansNothing
}
