package lsp

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
)

// A completer collects the completions for a position.
type completer struct {
	s     *server
	ctx   context.Context
	m     *module
	off   int
	start int // of the replaced word
	end   int
	items []completionItem
}

func (s *server) completion(ctx context.Context, p positionParams) (any, error) {
	m, off, err := s.here(ctx, p)
	if err != nil {
		return nil, err
	}
	c := &completer{s: s, ctx: ctx, m: m, off: off}
	c.start, c.end = wordAt(m.text.data, off)
	c.start = min(c.start, off)
	sc := scan{data: m.text.data}
	sc.to(off)
	switch {
	case sc.inComment:
	case sc.inString:
		c.inText(&sc)
	case c.start > 0 && m.text.data[c.start-1] == '.':
		c.attributes()
	default:
		c.arguments(&sc)
		c.names()
	}
	return completionList{Items: c.items}, nil
}

// add offers label. rank orders groups of offers.
func (c *completer) add(rank int, item completionItem) {
	if item.Label == "" {
		return
	}
	item.SortText = fmt.Sprintf("%d%s", rank, item.Label)
	if item.TextEdit == nil {
		item.TextEdit = &textEdit{c.m.text.span(c.start, c.end), item.Label}
	}
	c.items = append(c.items, item)
}

// names offers the names that are valid here.
func (c *completer) names() {
	f := c.s.finder(c.ctx)
	seen := c.m.visible(c.off)
	if d := c.s.workspace.docs[c.m.file]; d != nil && !c.m.whole && d.before != nil {
		// If the text does not parse now, a version from a moment ago did.
		for name := range d.before.globals {
			if seen[name] == nil {
				c.add(3, completionItem{Label: name, Kind: kindVariable})
			}
		}
	}
	for name, d := range seen {
		item := completionItem{Label: name, Kind: kindVariable}
		v := f.decl(c.m, d, 0)
		item.Detail = v.typ
		if v.fn != nil {
			item.Kind, item.Detail, item.Documentation = kindFunction, v.fn.signature().label, v.fn.doc()
		}
		c.add(2, item)
	}
	for _, name := range c.s.table.builtinNames(c.m) {
		if seen[name] != nil {
			continue
		}
		v := c.s.table.builtin(c.m, name)
		item := completionItem{Label: name, Kind: kindFunction, Detail: v.typ}
		switch {
		case v.fn != nil:
			item.Detail, item.Documentation = v.fn.signature().label, v.fn.doc()
		case v.lib != "":
			item.Kind = kindModule
		case v.typ != "" || name == "True" || name == "False" || name == "None":
			item.Kind = kindConstant
			if n, ok := c.s.table.names[name]; ok {
				item.Documentation = markdown(n.Doc)
			}
		}
		c.add(4, item)
	}
	for _, word := range []string{"and", "break", "continue", "def", "elif", "else", "for", "if", "in", "lambda", "load", "not", "or", "pass", "return"} {
		c.add(5, completionItem{Label: word, Kind: kindKeyword})
	}
}

// attributes offers the attributes of the expression before the dot.
func (c *completer) attributes() {
	data := c.m.text.data[:c.start-1]
	x, err := (&syntax.FileOptions{}).ParseExpr("", data[primary(data):], 0)
	if err != nil {
		return
	}
	f := c.s.finder(c.ctx)
	f.at = c.off
	v := f.expr(c.m, x, 0)
	for _, fn := range c.s.table.libs[v.lib] {
		_, name, _ := strings.Cut(fn.Name, ".")
		g := &function{builtin: fn}
		c.add(1, completionItem{Label: name, Kind: kindFunction, Detail: g.signature().label, Documentation: g.doc()})
	}
	for _, name := range v.names {
		c.add(1, completionItem{Label: name, Kind: kindField, Detail: v.fields[name].typ})
	}
	for _, a := range c.s.table.types[v.typ].Attrs {
		c.add(1, completionItem{Label: a.Name, Kind: kindProperty, Detail: a.Type, Documentation: markdown(a.Doc)})
	}
	for _, name := range own(v.typ) {
		c.add(1, completionItem{Label: name, Kind: kindMethod})
	}
}

// maxExpr limits how far an expression before a dot is read.
const maxExpr = 2000

// primary returns the start of the expression that data ends with: dotted
// names, and their argument lists and subscripts.
func primary(data string) int {
	depth, i := 0, len(data)
	for i > 0 && len(data)-i < maxExpr {
		c := data[i-1]
		switch {
		case c == ')' || c == ']':
			depth++
		case c == '(' || c == '[':
			if depth == 0 {
				return i
			}
			depth--
		case depth > 0, isNameByte(c), c == '.':
		case (c == '"' || c == '\'') && depth == 0 && i > 1:
			if j := strings.LastIndexByte(data[:i-1], c); j >= 0 {
				i = j + 1
			}
		default:
			return i
		}
		i--
	}
	return i
}

// callee returns the function that a frame calls, or nil.
func (c *completer) callee(fr *frame) *function {
	if fr == nil || fr.callee == "load" {
		return nil
	}
	return c.s.called(c.ctx, c.m, c.off, fr.callee)
}

// called returns the function that a dotted name refers to at a position, or nil.
func (s *server) called(ctx context.Context, m *module, off int, name string) *function {
	x, err := (&syntax.FileOptions{}).ParseExpr("", name, 0)
	if err != nil {
		return nil
	}
	f := s.finder(ctx)
	f.at = off
	return f.expr(m, x, 0).fn
}

// arguments offers the keyword arguments that a call does not have yet.
func (c *completer) arguments(sc *scan) {
	fr, i := sc.call()
	if fr == nil || i != len(sc.frames)-1 || strings.TrimSpace(c.m.text.data[fr.start:c.start]) != "" {
		return
	}
	fn := c.callee(fr)
	if fn == nil {
		return
	}
	given := sc.given(i)
	for n, p := range fn.signature().params {
		if p.variadic || !p.keyword && n < fr.arg || slices.Contains(given, p.name) {
			continue
		}
		rank := 1
		if p.required {
			rank = 0
		}
		c.add(rank, completionItem{
			Label: p.name + " =", Kind: kindField, Detail: p.detail(), Documentation: p.doc(),
			TextEdit: &textEdit{c.m.text.span(c.start, c.end), p.name + " = "},
		})
	}
}

// inText offers the values that a string can have.
func (c *completer) inText(sc *scan) {
	c.start = sc.start + len(sc.quote)
	c.end = c.off
	if end := strings.IndexAny(c.m.text.data[c.off:], sc.quote[:1]+"\r\n"); end >= 0 && c.m.text.data[c.off+end] == sc.quote[0] {
		c.end = c.off + end
	}
	written := c.m.text.data[c.start:c.off]
	fr, i := sc.call()
	if fr == nil {
		return
	}
	for _, between := range sc.frames[i+1:] {
		if between.kind == '{' { // the key or the value of a dict
			return
		}
	}
	if fr.callee == "load" {
		c.inLoad(fr, written)
		return
	}
	fn := c.callee(fr)
	if fn == nil {
		return
	}
	p := fn.signature().parameter(fr.arg, fr.keyword)
	if p == nil {
		return
	}
	for _, choice := range p.choices {
		c.add(0, completionItem{Label: choice, Kind: kindValue, Detail: p.name})
	}
	if p.takesStage() {
		c.stages()
	}
	if fn.builtin != nil && fn.builtin.Name == "skip" {
		c.services()
	}
	if p.path != "" {
		c.files(written, p.path == "directory", func(string) bool { return true })
	}
}

// stages offers stage names: those of the plan, and those in the file.
func (c *completer) stages() {
	seen := map[string]bool{}
	offer := func(name, about string) {
		if !seen[name] {
			seen[name] = true
			c.add(0, completionItem{Label: name, Kind: kindValue, Detail: about})
		}
	}
	if p, _ := c.s.planOf(c.m.file); p != nil {
		for _, st := range p.Stages {
			offer(st.Name, fmt.Sprintf("stage, order %d", st.Order))
		}
	}
	for _, name := range c.m.named(func(f string) bool { return f == "stage" }) {
		offer(name, "stage")
	}
}

// services offers the names of services.
func (c *completer) services() {
	seen := map[string]bool{}
	if p, _ := c.s.planOf(c.m.file); p != nil {
		for _, sv := range p.Services {
			seen[sv.Name] = true
			c.add(0, completionItem{Label: sv.Name, Kind: kindValue, Detail: string(sv.Type)})
		}
	}
	for _, name := range c.m.named(func(f string) bool { fn := c.s.table.funcs[f]; return fn != nil && fn.Result == "service" }) {
		if !seen[name] {
			c.add(0, completionItem{Label: name, Kind: kindValue})
		}
	}
}

// named returns the first argument, if it is a string, of each call of a builtin that ok accepts.
func (m *module) named(ok func(builtin string) bool) []string {
	var out []string
	for _, q := range m.quotes {
		if q.call == nil || q.arg != 0 || q.keyword != "" {
			continue
		}
		if id, isName := q.call.Fn.(*syntax.Ident); isName && ok(id.Name) && !slices.Contains(out, q.value) {
			out = append(out, q.value)
		}
	}
	return out
}

// inLoad offers modules, and the names that a module exports.
func (c *completer) inLoad(fr *frame, written string) {
	if fr.arg == 0 && fr.keyword == "" {
		libs := c.s.workspace.libs
		for _, lib := range slices.Sorted(maps.Keys(libs)) {
			entries, _ := fs.ReadDir(libs[lib], ".")
			for _, e := range entries {
				name := "@" + lib + "//" + e.Name()
				if isModule(name) && !strings.HasSuffix(name, "_test.star") && strings.HasPrefix(name, written) {
					c.add(1, completionItem{Label: name, Kind: kindModule, Documentation: c.moduleDoc(name)})
				}
			}
		}
		c.files(written, false, isModule)
		return
	}
	rest := c.m.text.data[fr.open+1:]
	rest = strings.TrimLeft(rest, " \t\r\n")
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return
	}
	name, _, ok := strings.Cut(rest[1:], rest[:1])
	if !ok {
		return
	}
	m := c.s.workspace.loaded(c.ctx, c.m, name)
	if m == nil {
		return
	}
	f := c.s.finder(c.ctx)
	for name, d := range m.globals {
		if strings.HasPrefix(name, "_") || d.load != nil {
			continue
		}
		item := completionItem{Label: name, Kind: kindVariable}
		if v := f.decl(m, d, 0); v.fn != nil {
			item.Kind, item.Detail, item.Documentation = kindFunction, v.fn.signature().label, v.fn.doc()
		}
		c.add(0, item)
	}
}

func (c *completer) moduleDoc(file string) *markup {
	if m := c.s.workspace.module(c.ctx, file); m != nil && m.tree != nil {
		if doc := builtins.Docstring(m.tree.Stmts); doc != "" {
			return markdown(doc)
		}
	}
	return nil
}

// maxEntries limits how many entries of a directory are offered.
const maxEntries = 1000

// files offers the subdirectories of a directory, and the other entries that ok accepts.
func (c *completer) files(written string, foldersOnly bool, ok func(name string) bool) {
	if isLibrary(c.m.file) || strings.HasPrefix(written, "@") || path.IsAbs(written) || strings.ContainsRune(written, 0) {
		return
	}
	dir, _ := path.Split(written)
	folder := filepath.Join(filepath.Dir(c.m.file), filepath.FromSlash(dir))
	if folder != c.m.root && !inside(c.m.root, folder) {
		return
	}
	f, err := os.Open(folder)
	if err != nil {
		return
	}
	entries, _ := f.ReadDir(maxEntries)
	f.Close()
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || filepath.Join(folder, name) == c.m.file {
			continue
		}
		switch {
		case e.IsDir():
			c.add(2, completionItem{Label: dir + name + "/", Kind: kindFolder})
		case !foldersOnly && ok(name):
			c.add(1, completionItem{Label: dir + name, Kind: kindFile})
		}
	}
}
