package interp

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
)

// A source is the location of a module: a file of the workspace, of a library or of a
// remote module.
type source struct {
	lib    string // the name of a library or of a remote module; empty: the workspace
	name   string // slash-separated
	remote bool
}

func (s source) String() string {
	if s.lib == "" {
		return s.name
	}
	if s.remote {
		return s.lib + "//" + s.name
	}
	return "@" + s.lib + "//" + s.name
}

// near returns the name in the directory of s that the file of s is probably a
// misspelling of. names are the names in that directory.
func (s source) near(names []string) string {
	near := misspell.Nearest(path.Base(s.name), names)
	if near == "" {
		return ""
	}
	s.name = path.Join(path.Dir(s.name), near)
	return s.String()
}

// nearLibrary returns the load name of file in the library that lib is probably a
// misspelling of.
func nearLibrary(lib, file string, libs []string) string {
	near := misspell.Nearest("@"+lib, prefixed("@", libs))
	if near == "" {
		return ""
	}
	return near + "//" + file
}

// A module is a file that is running or has run. It runs once (L2).
type module struct {
	src     source
	pos     plan.Pos // of the load that ran it first
	globals starlark.StringDict
	done    bool
}

// load implements load statements.
func (e *evaluation) load(th *starlark.Thread, name string) (starlark.StringDict, error) {
	at := e.pos(th.CallFrame(0).Pos)
	src, err := e.find(e.loading[len(e.loading)-1].src, name)
	if err != nil {
		return nil, err
	}
	m := e.modules[src.String()]
	switch {
	case m == nil:
	case m.done:
		return m.globals, nil
	default:
		return nil, e.cycle(m, at)
	}
	m, err = e.exec(src, at)
	if err != nil {
		return nil, err
	}
	return m.globals, nil
}

// find returns the location of the module that the module from calls name.
func (e *evaluation) find(from source, name string) (source, error) {
	if lib, file, ok := strings.Cut(name, "//"); ok && strings.HasPrefix(lib, "@") {
		lib = lib[1:]
		if e.libs[lib] == nil {
			names := slices.Sorted(maps.Keys(e.libs))
			return source{}, &explain.Error{
				Msg:     fmt.Sprintf("load: there is no library %q", "@"+lib),
				Hint:    "there is " + strings.Join(prefixed("@", names), ", "),
				Suggest: nearLibrary(lib, file, names),
			}
		}
		file = path.Clean(file)
		if !fs.ValidPath(file) {
			return source{}, &explain.Error{Msg: fmt.Sprintf("load: %q leaves the library", name)}
		}
		return source{lib: lib, name: file}, nil
	}
	if strings.HasPrefix(name, "@") {
		return source{}, &explain.Error{Msg: fmt.Sprintf("load: %q names no file", name), Hint: `write, for example, "@std//web.star"`}
	}
	if lock.IsRemote(name) {
		return e.findRemote(name)
	}
	if strings.Contains(name, "://") {
		return source{}, &explain.Error{
			Msg:  fmt.Sprintf("load: %q is on the network", redact.URLs(name)),
			Hint: "load files of the workspace, of @std, or of a remote module: git+https://HOST/REPOSITORY@REF//FILE.star",
		}
	}
	file, wrong := paths.Resolve(path.Dir(from.name), name)
	if wrong != nil {
		wrong.Msg = "load: " + wrong.Msg
		if from.lib != "" {
			what := "the library"
			if from.remote {
				what = "the remote module"
			}
			wrong.Msg = strings.Replace(wrong.Msg, "the workspace", what, 1)
			wrong.Hint = ""
		}
		return source{}, wrong
	}
	return source{lib: from.lib, name: file, remote: from.remote}, nil
}

// exec runs the module src. Errors that are diagnostics already are errReported.
func (e *evaluation) exec(src source, at ...plan.Pos) (*module, error) {
	m := &module{src: src}
	if len(at) > 0 {
		m.pos = at[0]
	}
	e.modules[src.String()] = m
	e.loading = append(e.loading, m)
	defer func() { e.loading = e.loading[:len(e.loading)-1] }()

	text, err := e.read(src)
	if errors.Is(err, bounded.ErrModuleSize) {
		e.report(plan.Pos{File: src.String(), Line: 1, Col: 1}, err)
		return nil, errReported
	}
	if err != nil {
		return nil, unreadable(err, len(e.loading) > 1)
	}
	tree, err := e.parse(src, text)
	if err != nil {
		return nil, err
	}
	if err := e.required(tree); err != nil {
		return nil, err
	}
	prog, err := e.compile(src, tree)
	if err != nil {
		return nil, err
	}
	m.globals, err = prog.Init(e.thread, e.predeclared(src))
	for name := range m.globals {
		if bounded.IsGuard(name) {
			delete(m.globals, name)
		}
	}
	if err == nil {
		err = e.freeze(m, tree)
	}
	m.done = true
	return m, err
}

// parse returns the tree of a source, if it can be processed within the limits (L4).
func (e *evaluation) parse(src source, text []byte) (*syntax.File, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // some editors write it
	if line, col, wrong := bounded.CheckModule(text); wrong != nil {
		return nil, e.reject(src, text, plan.Pos{File: src.String(), Line: line, Col: col}, wrong)
	}
	if err := e.checkText(src, text); err != nil {
		return nil, err
	}
	tree, err := dialect.Parse(src.String(), text, 0)
	if err != nil {
		e.session.AddSource(newSource(src, text, nil))
		return nil, e.unparsed(text, err)
	}
	if at, wrong := bounded.CheckTree(tree); wrong != nil {
		return nil, e.reject(src, text, e.pos(at), wrong)
	}
	e.session.AddSource(newSource(src, text, tree))
	return tree, nil
}

// checkText returns an error if a source cannot be parsed within the limits (L4).
func (e *evaluation) checkText(src source, text []byte) error {
	tokens, line, wrong := bounded.Tokens(text)
	// The tree and the program of a source take much more memory than the source.
	if e.parsed += tokens; e.parsed > maxTokens {
		e.report(plan.Pos{File: src.String(), Line: 1, Col: 1}, &explain.Error{
			Msg:  fmt.Sprintf("all modules together have more than %d tokens", maxTokens),
			Hint: "keep data in a file: read_json(…), read_yaml(…)",
		})
		return errReported
	}
	if len(e.loading) > maxLoadDepth {
		return &explain.Error{Msg: fmt.Sprintf("load: modules load each other deeper than %d", maxLoadDepth)}
	}
	if err := e.session.Meter.Charge(uint64(len(text))); err != nil {
		return err
	}
	if wrong != nil {
		return e.reject(src, text, plan.Pos{File: src.String(), Line: line, Col: 1}, wrong)
	}
	return nil
}

// reject reports an error in a source that is not parsed, with the line that it is in.
func (e *evaluation) reject(src source, text []byte, at plan.Pos, wrong error) error {
	e.session.AddSource(newSource(src, text, nil))
	e.report(at, wrong)
	return errReported
}

// Limits of parsing. A token takes memory in the syntax tree, in the program and in what
// it declares: 100 000 lines of param("p"), 700 000 tokens, would take more than 200 MB.
const (
	maxTokens    = 300_000 // of all modules
	maxLoadDepth = 1100    // nesting depth of loads
)

// unreadable is the error of a module that cannot be read.
func unreadable(err error, loaded bool) error {
	h := &explain.Error{Msg: err.Error()}
	if hinted := explain.Of(err); hinted != nil {
		h.Hint, h.Suggest = hinted.Hint, hinted.Suggest
	}
	if loaded {
		h.Msg = "load: " + h.Msg
	}
	return h
}

func (e *evaluation) read(src source) ([]byte, error) {
	if text, ok := e.opts.Overlay[src.name]; ok && src.lib == "" {
		e.session.Files.Note(src.name, plan.InputModule, plan.DigestOf(text))
		return text, nil
	}
	if src.lib == "" {
		text, err := e.session.Files.Read(src.name, plan.InputModule)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, e.session.Files.NotFound(src.name)
		}
		return text, err
	}
	if src.remote {
		return e.readRemote(src)
	}
	text, err := fs.ReadFile(e.libs[src.lib], src.name)
	if errors.Is(err, fs.ErrNotExist) {
		var names []string
		entries, _ := fs.ReadDir(e.libs[src.lib], path.Dir(src.name)) // only for the hint
		for _, entry := range entries {
			if !strings.HasSuffix(entry.Name(), "_test.star") && strings.HasSuffix(entry.Name(), ".star") {
				names = append(names, entry.Name())
			}
		}
		return nil, &explain.Error{
			Msg:     src.String() + " does not exist",
			Hint:    "@" + src.lib + " has " + strings.Join(names, ", "),
			Suggest: src.near(names),
		}
	}
	return text, err
}

// cycle is the error of a load, at the position at, of a module that is already being
// loaded (L2). It lists every load in the cycle.
func (e *evaluation) cycle(m *module, at plan.Pos) error {
	start := 0
	for e.loading[start] != m {
		start++
	}
	names := []string{m.src.String()}
	d := plan.Diagnostic{Severity: plan.SeverityError, Pos: at}
	for _, next := range e.loading[start+1:] {
		names = append(names, next.src.String())
		d.Related = append(d.Related, plan.Related{Pos: next.pos, Message: next.pos.File + " loads " + next.src.String()})
	}
	names = append(names, m.src.String())
	d.Related = append(d.Related, plan.Related{Pos: at, Message: at.File + " loads " + m.src.String()})
	d.Message = "load: modules load each other: " + strings.Join(names, " -> ")
	d.Hint = "put what they share into a module that loads neither"
	e.session.Report(d)
	return errReported
}

// required checks a require_version("…") at the top level before names are resolved: an
// older pipe must report that it is too old, and not that it does not know a name of a
// newer one.
func (e *evaluation) required(tree *syntax.File) error {
	for _, stmt := range tree.Stmts {
		x, ok := stmt.(*syntax.ExprStmt)
		if !ok {
			continue
		}
		call, ok := x.X.(*syntax.CallExpr)
		if !ok || len(call.Args) != 1 {
			continue
		}
		fn, ok := call.Fn.(*syntax.Ident)
		text, isText := call.Args[0].(*syntax.Literal)
		if !ok || !isText || fn.Name != "require_version" || text.Token != syntax.STRING {
			continue
		}
		if err := builtins.CheckVersion(text.Value.(string), e.opts.Version); err != nil {
			e.report(e.pos(fn.NamePos), err)
			return errReported
		}
	}
	return nil
}
