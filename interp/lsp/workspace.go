package lsp

import (
	"context"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/internal/atomicfile"
	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/stdlib"
)

// Limits for scanning a workspace, so that a hostile or huge one terminates.
const (
	maxFiles = 5000
	maxDirs  = 20_000
	maxFile  = bounded.MaxModule
)

// A workspace holds the files of the editor and of the disk: open documents
// take precedence over files on disk. Only the server's loop uses it.
type workspace struct {
	opts    Options
	libs    map[string]fs.FS // by name, as in load("@name//…")
	folders []string         // that the editor has open
	docs    map[string]*document
	cache   map[string]cached
	known   map[string]*module    // of libraries
	remotes map[string]*remote    // known files of remote modules
	pins    map[string]cachedPins // by lock file
}

// A document is a file that is open in the editor.
type document struct {
	uri     string // as the editor spells it
	version int
	text    *text
	known   *module // of the current text; nil: not analyzed yet
	before  *module // of the last text that parsed
}

// A cached module is that of a file on disk, valid as long as the file does not change.
type cached struct {
	modified time.Time
	size     int64
	module   *module
}

func newWorkspace(opts Options) *workspace {
	libs := map[string]fs.FS{"std": stdlib.FS}
	maps.Copy(libs, opts.Modules)
	return &workspace{opts: opts, libs: libs, docs: map[string]*document{}, cache: map[string]cached{}, known: map[string]*module{},
		remotes: map[string]*remote{}, pins: map[string]cachedPins{}}
}

// isLibrary reports whether file is a module of a library, such as @std, or of a remote module.
func isLibrary(file string) bool { return strings.HasPrefix(file, "@") || lock.IsRemote(file) }

// module returns the module of a file, or nil.
func (w *workspace) module(ctx context.Context, file string) *module {
	if isLibrary(file) {
		return w.library(ctx, file)
	}
	if d := w.docs[file]; d != nil {
		if d.known == nil {
			d.known = w.analyse(ctx, file, d.text.data)
			if d.known.whole {
				d.before = d.known
			}
		}
		return d.known
	}
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil
	}
	if c, ok := w.cache[file]; ok && c.size == info.Size() && c.modified.Equal(info.ModTime()) {
		return c.module
	}
	data, err := os.ReadFile(file)
	if err != nil || len(data) > maxFile {
		return nil
	}
	m := w.analyse(ctx, file, string(data))
	if ctx.Err() == nil {
		if len(w.cache) > maxFiles {
			clear(w.cache)
		}
		w.cache[file] = cached{info.ModTime(), info.Size(), m}
	}
	return m
}

func (w *workspace) analyse(ctx context.Context, file, data string) *module {
	root := w.root(file)
	return w.check(ctx, file, root, paths.Below(root, file), data)
}

// check is analyse with the builtins that are available in Pipelinefiles.
func (w *workspace) check(ctx context.Context, file, root, name, data string) *module {
	return analyse(ctx, file, root, name, data, interp.Options{Limits: w.opts.Limits, Builtins: w.opts.Builtins, Modules: w.opts.Modules})
}

// library returns a module of a library, such as @std, or of a remote module.
func (w *workspace) library(ctx context.Context, file string) *module {
	if lock.IsRemote(file) {
		return w.remote(ctx, file)
	}
	if m := w.known[file]; m != nil {
		return m
	}
	data, err := w.textOf(file)
	if err != nil {
		return nil
	}
	m := w.check(ctx, file, "", file, string(data))
	if ctx.Err() == nil {
		w.known[file] = m
	}
	return m
}

// split returns the library of a file, as in "@std//web.star", and the file's
// name in it; nil if the library is unknown.
func (w *workspace) split(file string) (lib fs.FS, prefix, name string) {
	prefix, name, ok := strings.Cut(file, "//")
	if !ok || !strings.HasPrefix(prefix, "@") {
		return nil, "", ""
	}
	return w.libs[prefix[1:]], prefix + "//", name
}

// find returns the file that a module loads as name, and whether the name is valid.
func (w *workspace) find(m *module, name string) (string, bool) {
	switch {
	case strings.HasPrefix(name, "@"):
		lib, prefix, file := w.split(name)
		file = path.Clean(file)
		return prefix + file, lib != nil && fs.ValidPath(file)
	case lock.IsRemote(name):
		return w.pinned(m, name)
	case lock.IsRemote(m.file) && !path.IsAbs(name):
		return w.pinned(m, beside(m.file, name))
	case strings.Contains(name, "://"), strings.ContainsRune(name, 0):
		return "", false
	case isLibrary(m.file):
		_, prefix, own := w.split(m.file)
		file := path.Join(path.Dir(own), name)
		return prefix + file, fs.ValidPath(file)
	case path.IsAbs(name):
		return "", false
	}
	file := filepath.Join(filepath.Dir(m.file), filepath.FromSlash(name))
	return file, inside(m.root, file)
}

// loaded returns the module that m loads as name, or nil.
func (w *workspace) loaded(ctx context.Context, m *module, name string) *module {
	file, ok := w.find(m, name)
	if !ok {
		return nil
	}
	return w.module(ctx, file)
}

// inside reports whether file is below root, even if either path has symbolic links.
func inside(root, file string) bool {
	if paths.Below(root, file) == "" {
		return false
	}
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return true // it does not exist, or is open and not saved
	}
	realRoot, err := filepath.EvalSymlinks(root)
	return err == nil && paths.Below(realRoot, real) != ""
}

// root returns the workspace root of a file, as evaluation will see it: the git
// root; otherwise, for a module, the nearest directory with a Pipelinefile.
func (w *workspace) root(file string) string {
	root, err := interp.Workspace(file)
	if err != nil {
		return filepath.Dir(file)
	}
	if _, err := os.Lstat(filepath.Join(root, ".git")); err == nil || isPipelinefile(file) {
		return root
	}
	folder := ""
	for _, f := range w.folders {
		if paths.Below(f, file) != "" && len(f) > len(folder) {
			folder = f
		}
	}
	for dir := root; ; dir = filepath.Dir(dir) {
		if w.exists(filepath.Join(dir, "Pipelinefile")) {
			return dir
		}
		if dir == folder || dir == filepath.Dir(dir) {
			break
		}
	}
	if folder != "" {
		return folder
	}
	return root
}

func (w *workspace) exists(file string) bool {
	if w.docs[file] != nil {
		return true
	}
	_, err := os.Stat(file)
	return err == nil
}

// isPipelinefile reports whether a file is one that is evaluated by itself.
func isPipelinefile(file string) bool {
	return filepath.Base(file) == "Pipelinefile" || strings.HasSuffix(file, ".Pipelinefile")
}

func isModule(file string) bool { return strings.HasSuffix(file, ".star") }

// files returns the Pipelinefiles and modules below the roots, sorted: those on
// disk and those that are open.
func (w *workspace) files(ctx context.Context, roots []string) []string {
	found := map[string]bool{}
	for file := range w.docs {
		found[file] = true
	}
	folders := 0
	for _, root := range roots {
		_ = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil || len(found) >= maxFiles || folders >= maxDirs:
				return fs.SkipAll
			case err != nil: // unreadable files are skipped
				return nil
			case d.IsDir():
				folders++
				if name := d.Name(); file != root && (strings.HasPrefix(name, ".") || name == "node_modules") {
					return fs.SkipDir
				}
			case d.Type().IsRegular() && (isPipelinefile(file) || isModule(file)):
				found[file] = true
			}
			return nil
		})
	}
	list := make([]string, 0, len(found))
	for file := range found {
		list = append(list, file)
	}
	slices.Sort(list)
	return list
}

// roots returns the directories open in the editor and the workspace of file.
func (w *workspace) roots(file string) []string {
	list := slices.Clone(w.folders)
	if root := w.root(file); !slices.ContainsFunc(list, func(f string) bool { return f == root || paths.Below(f, root) != "" }) {
		list = append(list, root)
	}
	return list
}

// pathOf returns the file for a URI, or "".
func (w *workspace) pathOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" {
		return ""
	}
	p := u.Path
	if runtime.GOOS == "windows" { // file:///c:/x
		p = strings.TrimPrefix(p, "/")
	}
	file := filepath.Clean(filepath.FromSlash(p))
	if w.opts.Library != "" {
		if name := paths.Below(w.opts.Library, file); name != "" {
			return insideLibrary(name)
		}
	}
	return file
}

// uriOf returns the URI of a file. A library file is written to disk first,
// because an editor opens only files on disk. It returns "" if that fails.
func (w *workspace) uriOf(file string) string {
	if d := w.docs[file]; d != nil {
		return d.uri
	}
	if isLibrary(file) {
		if file = w.writeOut(file); file == "" {
			return ""
		}
	}
	p := filepath.ToSlash(file)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	return (&url.URL{Scheme: "file", Path: p}).String()
}

// writeOut writes a library file to disk for the editor.
func (w *workspace) writeOut(library string) string {
	data, err := w.textOf(library)
	if err != nil || w.opts.Library == "" {
		return ""
	}
	file := w.outside(library)
	if old, err := os.ReadFile(file); err == nil && string(old) == string(data) {
		return file
	}
	if atomicfile.Write(file, data, 0o400) != nil {
		return ""
	}
	return file
}
