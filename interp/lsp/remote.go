package lsp

import (
	"context"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/plan"
)

// A remote is the last known state of a file of a remote module.
type remote struct {
	pins   string // the lock file that pins it
	digest plan.Digest
	module *module // for this digest; nil: not analyzed yet
}

// A cachedPins is a lock file, valid as long as the file on disk does not change.
type cachedPins struct {
	modified time.Time
	size     int64
	pins     *lock.File
}

// pinned returns the file of a remote module that m loads as name, and whether
// the cache has it as pinned. It downloads nothing.
func (w *workspace) pinned(m *module, name string) (string, bool) {
	mod, file, err := lock.ParseLoad(name)
	if err != nil || w.opts.Cache == nil {
		return "", false
	}
	name = mod.String() + "//" + file
	pins := w.pinsOf(m)
	l := w.lockFile(pins)
	if l == nil {
		return "", false
	}
	listing, err := lock.ReadListing(w.opts.Cache, l.Modules[mod.String()].Digest)
	if err != nil {
		return "", false
	}
	d, ok := listing[file]
	if r := w.remotes[name]; ok && (r == nil || r.pins != pins || r.digest != d) {
		w.remotes[name] = &remote{pins: pins, digest: d}
	}
	return name, ok
}

// pinsOf returns the lock file of the Pipelinefile that a module belongs to:
// its own, or the nearest in a parent directory.
func (w *workspace) pinsOf(m *module) string {
	if r := w.remotes[m.file]; r != nil {
		return r.pins
	}
	if isPipelinefile(m.file) {
		return m.file + lock.Suffix
	}
	for dir := filepath.Dir(m.file); ; dir = filepath.Dir(dir) {
		file := filepath.Join(dir, "Pipelinefile"+lock.Suffix)
		if _, err := os.Stat(file); err == nil || dir == m.root || dir == filepath.Dir(dir) {
			return file
		}
	}
}

// lockFile reads a lock file; it returns nil if the file cannot be read.
func (w *workspace) lockFile(file string) *lock.File {
	info, err := os.Stat(file)
	if err != nil || info.Size() > maxFile {
		return nil
	}
	if c := w.pins[file]; c.pins != nil && c.size == info.Size() && c.modified.Equal(info.ModTime()) {
		return c.pins
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	pins, err := lock.Parse(data)
	if err != nil {
		return nil
	}
	w.pins[file] = cachedPins{info.ModTime(), info.Size(), pins}
	return pins
}

// beside returns the file that a remote module loads by a relative path.
func beside(file, name string) string {
	i := strings.LastIndex(file, "//")
	return file[:i+2] + path.Join(path.Dir(file[i+2:]), name)
}

// remote returns a file of a remote module: as pinned, or else the copy written
// for the editor in an earlier session.
func (w *workspace) remote(ctx context.Context, file string) *module {
	r := w.remotes[file]
	if r == nil {
		data, err := os.ReadFile(w.outside(file))
		if err != nil || w.opts.Library == "" {
			return nil
		}
		return w.check(ctx, file, "", file, string(data))
	}
	if r.module == nil {
		data, err := lock.ReadFile(w.opts.Cache, r.digest)
		if err != nil {
			return nil
		}
		m := w.check(ctx, file, "", file, string(data))
		if ctx.Err() != nil {
			return m
		}
		r.module = m
	}
	return r.module
}

// The directories below Options.Library for the files of remote modules and of
// the host program's libraries. The files of @std are directly in it.
const (
	remoteFolder = "remote/"
	hostFolder   = "host/"
	stdPrefix    = "@std//"
)

// outside returns the path at which an editor finds a file of a library.
func (w *workspace) outside(file string) string {
	name, ok := strings.CutPrefix(file, stdPrefix)
	if i := strings.LastIndex(file, "//"); !ok && i >= 0 {
		folder := remoteFolder
		if !lock.IsRemote(file) {
			folder = hostFolder
		}
		name = folder + url.QueryEscape(file[:i]) + file[i+1:]
	}
	return filepath.Join(w.opts.Library, filepath.FromSlash(name))
}

// insideLibrary returns the library file for a path below Options.Library.
func insideLibrary(name string) string {
	rest, ok := strings.CutPrefix(name, remoteFolder)
	if !ok {
		rest, ok = strings.CutPrefix(name, hostFolder)
	}
	module, file, split := strings.Cut(rest, "/")
	if module, err := url.QueryUnescape(module); ok && split && err == nil {
		return module + "//" + file
	}
	return stdPrefix + name
}

// textOf returns the source of a library file.
func (w *workspace) textOf(file string) ([]byte, error) {
	if lib, _, name := w.split(file); lib != nil {
		return fs.ReadFile(lib, name)
	}
	if r := w.remotes[file]; r != nil {
		return lock.ReadFile(w.opts.Cache, r.digest)
	}
	return nil, fs.ErrNotExist
}
