package builtins

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/plan"
)

// Files reads only the workspace (L1, L2), and records what was read (L7). Each file is
// read once, so that one evaluation sees one content.
type Files struct {
	root   *os.Root
	meter  *bounded.Meter
	most   int64
	read   map[string]content
	inputs map[inputKey]plan.Input
	stats  map[string]fs.FileInfo // nil: the file does not exist
	trees  *Trees                 // nil: every directory is read
}

// An inputKey identifies an input.
type inputKey struct {
	path    string
	kind    plan.InputKind
	exclude string // joined by newlines
}

type content struct {
	data   []byte
	digest plan.Digest
}

// NewFiles returns the files below root. A file larger than most bytes is an error.
func NewFiles(root *os.Root, most int64) *Files {
	return &Files{
		root: root, most: most, read: map[string]content{},
		inputs: map[inputKey]plan.Input{}, stats: map[string]fs.FileInfo{},
	}
}

// Bound charges reads to m, and ends them with its context.
func (f *Files) Bound(m *bounded.Meter) { f.meter = m }

// Keep uses t to avoid reading known directories again.
func (f *Files) Keep(t *Trees) { f.trees = t }

// Inputs returns what was read, sorted by path, then kind, then exclusions.
func (f *Files) Inputs() []plan.Input {
	out := slices.Collect(maps.Values(f.inputs))
	slices.SortFunc(out, func(a, b plan.Input) int {
		return cmp.Or(
			strings.Compare(a.Path, b.Path), strings.Compare(string(a.Kind), string(b.Kind)), slices.Compare(a.Exclude, b.Exclude))
	})
	return out
}

// Note adds an input that was read by other means.
func (f *Files) Note(name string, kind plan.InputKind, digest plan.Digest) {
	f.note(name, kind, digest)
}

// note adds an input. A file that does not exist is an input without a digest: if it is
// created, the evaluation has another result.
func (f *Files) note(name string, kind plan.InputKind, digest plan.Digest) {
	f.add(plan.Input{Path: name, Kind: kind, Digest: digest})
}

func (f *Files) add(in plan.Input) {
	f.inputs[inputKey{in.Path, in.Kind, strings.Join(in.Exclude, "\n")}] = in
}

// Read returns the content of a file whose path is below the root, and adds it to the
// inputs.
func (f *Files) Read(name string, kind plan.InputKind) ([]byte, error) {
	if c, ok := f.read[name]; ok {
		f.note(name, kind, c.digest)
		return c.data, nil
	}
	f.note(name, kind, "")
	if info, err := f.stat(name); kind == plan.InputModule && err == nil && info.Size() > bounded.MaxModule {
		return nil, bounded.ErrModuleSize
	}
	data, err := f.load(name)
	if err != nil {
		return nil, err
	}
	c := content{data, plan.DigestOf(data)}
	f.read[name] = c
	f.note(name, kind, c.digest)
	return data, nil
}

func (f *Files) load(name string) ([]byte, error) {
	info, err := f.stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory", name)
	}
	// Opening a fifo or a device can block or do harm.
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	if info.Size() > f.most {
		return nil, f.tooLarge(name)
	}
	if err := f.meter.Charge(uint64(info.Size()) / 4); err != nil {
		return nil, err
	}
	for range 3 {
		var data []byte
		var same bool
		data, err = bounded.Await(f.meter, bounded.AwaitAlways, func() ([]byte, error) {
			data, ok, err := f.content(name)
			same = ok
			return data, err
		})
		if err != nil || same {
			return data, err
		}
	}
	return nil, fmt.Errorf("%s changed while it was read", name)
}

func (f *Files) tooLarge(name string) error {
	return fmt.Errorf("%s is larger than the limit of %d bytes", name, f.most)
}

// content reads a file, and reports whether it was unchanged during the read.
func (f *Files) content(name string) (data []byte, same bool, err error) {
	// The file may have been replaced by a fifo since: opening it must not block.
	file, err := f.root.OpenFile(name, os.O_RDONLY|noBlock, 0)
	if err != nil {
		return nil, false, readable(name, err)
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil || !before.Mode().IsRegular() {
		return nil, false, fmt.Errorf("%s is not a regular file", name)
	}
	if before.Size() > f.most {
		return nil, false, f.tooLarge(name)
	}
	var buf bytes.Buffer
	buf.Grow(int(before.Size()) + bytes.MinRead) // the size reported in /proc is not the real one
	n, err := buf.ReadFrom(io.LimitReader(file, f.most+1))
	if err != nil {
		return nil, false, readable(name, err)
	}
	if n > f.most {
		return nil, false, f.tooLarge(name)
	}
	after, err := file.Stat()
	if err != nil {
		return nil, false, readable(name, err)
	}
	return buf.Bytes(), before.Size() == after.Size() && before.ModTime().Equal(after.ModTime()) && n == after.Size(), nil
}

func (f *Files) stat(name string) (fs.FileInfo, error) {
	if info, ok := f.stats[name]; ok {
		if info == nil {
			return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		return info, nil
	}
	info, err := f.root.Stat(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		f.stats[name] = info
	}
	return info, readable(name, err)
}

// isFile and isFolder report whether the path exists and is one.
func (f *Files) isFile(name string) bool {
	info, err := f.stat(name)
	return err == nil && !info.IsDir()
}

func (f *Files) isFolder(name string) bool {
	info, err := f.stat(name)
	return err == nil && info.IsDir()
}

// names returns the names in a directory, sorted.
func (f *Files) names(folder string) []string {
	dir, err := f.root.Open(folder)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(1000)
	if err != nil {
		return nil
	}
	slices.Sort(names)
	return names
}

// notFound returns the error for a path that does not exist, and suggests a similar name
// that exists.
func (f *Files) notFound(name string) *explain.Error {
	if len(name) > maxPattern {
		return explain.Errorf("%s does not exist", explain.Clip(name))
	}
	p := explain.Errorf("%s does not exist", name)
	dir, base := path.Split(name)
	dir = path.Clean(dir)
	names := f.names(dir)
	_ = f.meter.Charge(folderSteps + 2*fileSteps*uint64(len(names))) // if this fails, the next charge fails as well
	near := misspell.Nearest(base, names)
	for _, n := range names {
		if near == "" && strings.HasPrefix(n, base+".") {
			near = n // Dockerfile.prod, values.yaml
		}
	}
	if near != "" {
		p.Suggest = path.Join(dir, near)
	} else if !f.isFolder(dir) {
		p.Hint = fmt.Sprintf("there is no directory %q either", dir)
	}
	return p
}

// NotFound returns the error for a path that does not exist, with a suggestion of a
// similar name that exists.
func (f *Files) NotFound(name string) error {
	p := f.notFound(name)
	return &explain.Error{Msg: p.Msg, Hint: p.Hint, Suggest: p.Suggest}
}

// problem converts err, from reading name, to an *explain.Error.
func (f *Files) problem(name string, err error) *explain.Error {
	if errors.Is(err, fs.ErrNotExist) {
		return f.notFound(name)
	}
	return explain.Errorf("%v", err)
}

// readable returns err without the name of the system call and the path of the root.
func readable(name string, err error) error {
	if err == nil {
		return nil
	}
	// os does not export the error for a path that leaves an os.Root.
	if strings.Contains(err.Error(), "escapes from parent") {
		return fmt.Errorf("%s leads out of the workspace, through a symbolic link", name)
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// resolve returns the path p, as a call writes it, relative to the root.
func (c *Call) resolve(p string) (string, *explain.Error) {
	src, _ := c.Session.caller(c.Thread)
	dir := "."
	if src != nil {
		dir = path.Dir(src.Name)
	}
	return paths.Resolve(dir, p)
}

// maxTreeFiles is the maximum number of files in a directory that is read completely.
const maxTreeFiles = 10_000

// readTree makes a whole directory one input. Its digest covers the paths and digests of
// all its files except those of git.
func (f *Files) readTree(dir string, kind plan.InputKind) error {
	if f.inputs[inputKey{path: dir, kind: kind}].Digest != "" {
		return nil
	}
	known, epoch := f.trees.digest(dir)
	f.note(dir, kind, known)
	if known != "" {
		return nil
	}
	var sums strings.Builder
	n := 0
	err := fs.WalkDir(f.root.FS(), dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return readable(name, err)
		}
		if e.Name() == ".git" && name != dir { // git's own files, which change with every git command
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() {
			return nil
		}
		if err := f.meter.Charge(1000); err != nil { // for the system calls
			return err
		}
		if n++; n > maxTreeFiles {
			return fmt.Errorf("%s has more than %d files", dir, maxTreeFiles)
		}
		if info, err := f.stat(name); err == nil && info.IsDir() { // a symbolic link to a directory
			return nil
		}
		data, err := f.load(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s %s\n", strings.TrimPrefix(name, dir+"/"), plan.DigestOf(data))
		return nil
	})
	if err != nil {
		return err
	}
	digest := plan.DigestOf([]byte(sums.String()))
	f.trees.keep(dir, digest, epoch)
	f.note(dir, kind, digest)
	return nil
}
