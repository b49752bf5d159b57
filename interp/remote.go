package interp

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
)

const runSync = "run: pipe mod sync"

// findRemote returns the location of the file of a remote module that load calls name.
func (e *evaluation) findRemote(name string) (source, error) {
	m, file, err := lock.ParseLoad(name)
	if err != nil {
		return source{}, &explain.Error{Msg: "load: " + err.Error(), Hint: `write, for example, "git+https://example.com/lib@v1.2.3//web.star" or "oci://example.com/lib:v1//web.star"`}
	}
	return source{lib: m.String(), name: file, remote: true}, nil
}

// readRemote reads a file of a remote module exactly as it is pinned (L1). It never
// fetches anything.
func (e *evaluation) readRemote(src source) ([]byte, error) {
	listing, err := e.listing(src.lib)
	if err != nil {
		return nil, err
	}
	d, ok := listing[src.name]
	if !ok {
		names := listing.Names()
		near := misspell.Nearest(src.name, names)
		if near != "" {
			near = src.lib + "//" + near
		}
		return nil, &explain.Error{
			Msg:     src.String() + " does not exist",
			Hint:    fmt.Sprintf("the module has %d other files", len(names)),
			Suggest: near,
		}
	}
	e.session.Files.Note(src.String(), plan.InputRemote, d)
	text, err := lock.ReadFile(e.opts.Cache, d)
	if err != nil {
		return nil, unproven(src.lib, err)
	}
	return text, nil
}

// listing returns the files of a remote module. It reads each module's listing once.
func (e *evaluation) listing(module string) (lock.Listing, error) {
	if l, ok := e.listings[module]; ok {
		return l, nil
	}
	if e.opts.Cache == nil {
		return nil, &explain.Error{Msg: module + " is a remote module, and this evaluation has none", Hint: "load files of the workspace, or of @std"}
	}
	name := e.name + lock.Suffix
	pins, err := e.pins(name)
	if err != nil {
		return nil, err
	}
	pin, ok := pins.Modules[module]
	if !ok {
		return nil, &explain.Error{Msg: fmt.Sprintf("%s is not pinned in %s", module, name), Hint: runSync}
	}
	l, err := lock.ReadListing(e.opts.Cache, pin.Digest)
	if err != nil {
		return nil, unproven(module, err)
	}
	if e.listings == nil {
		e.listings = map[string]lock.Listing{}
	}
	e.listings[module] = l
	return l, nil
}

// pins reads the lock file, which is an input like others (L7).
func (e *evaluation) pins(name string) (*lock.File, error) {
	data, ok := e.opts.Overlay[name]
	if ok {
		e.session.Files.Note(name, plan.InputLock, plan.DigestOf(data))
	} else {
		var err error
		if data, err = e.session.Files.Read(name, plan.InputLock); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	pins, err := lock.Parse(data)
	if err != nil {
		return nil, &explain.Error{
			Msg:  fmt.Sprintf("%s cannot be read: %v", name, err),
			Hint: fmt.Sprintf("put back the %s that was committed, or delete it and run: pipe mod sync", path.Base(name)),
		}
	}
	return pins, nil
}

// unproven is the error of a pinned module whose content is missing or does not match the
// pin.
func unproven(module string, err error) error {
	if errors.Is(err, lock.ErrMissing) {
		return &explain.Error{Msg: module + " is pinned, but was not fetched to this machine", Hint: runSync}
	}
	return &explain.Error{Msg: fmt.Sprintf("%s is not what it was pinned to: %v", module, err), Hint: runSync + ", which fetches it again"}
}

// newSource returns the source of a file. Errors show its lines, but not the user, the
// password and the query of a URL, and no private key.
func newSource(src source, text []byte, tree *syntax.File) *builtins.Source {
	if bytes.ContainsAny(text, "@?") || redact.HasPrivateKey(string(text)) {
		text = []byte(redact.Source(string(text)))
	}
	return builtins.NewSource(src.String(), src.lib != "", text, tree)
}
