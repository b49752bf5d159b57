package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/content"
)

// A folder is the file system that is sent to BuildKit: entries that are known in advance.
type folder struct {
	entries []entry                  // in the order of a walk: by path, its parts compared one by one
	open    func(e *entry) io.Reader // of a file whose entry has no data
}

var _ fsutil.FS = (*folder)(nil)

// Walk implements [fsutil.FS].
func (f *folder) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	target = path.Clean("/" + filepath.ToSlash(target))[1:]
	entries := f.entries
	if target != "" {
		entries = f.below(target)
		if len(entries) == 0 {
			// As in a walk of the disk.
			return skipped(fn(filepath.FromSlash(target), nil, fs.ErrNotExist))
		}
	}
	skip := "" // skip everything below this directory
	for i := range entries {
		e := &entries[i]
		if skip != "" && strings.HasPrefix(e.path, skip) {
			continue
		}
		skip = ""
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := fn(filepath.FromSlash(e.path), &fsutil.DirEntryInfo{Stat: e.stat()}, nil)
		switch {
		case errors.Is(err, fs.SkipDir) && e.mode.IsDir():
			skip = e.path + "/"
		case errors.Is(err, fs.SkipDir):
			if skip = path.Dir(e.path) + "/"; skip == "./" {
				return nil
			}
		case err != nil:
			return skipped(err)
		}
	}
	return nil
}

func skipped(err error) error {
	if errors.Is(err, fs.SkipAll) || errors.Is(err, fs.SkipDir) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// order returns a key that sorts paths in the order of a walk.
func order(p string) string { return strings.ReplaceAll(p, "/", "\x00") }

// find returns the entry of the path, or nil.
func (f *folder) find(p string) *entry {
	if b := f.below(p); len(b) > 0 && b[0].path == p {
		return &b[0]
	}
	return nil
}

// below returns the entry of the path and all entries below it.
func (f *folder) below(p string) []entry {
	from := sort.Search(len(f.entries), func(i int) bool { return order(f.entries[i].path) >= order(p) })
	to := from
	for to < len(f.entries) && (f.entries[to].path == p || strings.HasPrefix(f.entries[to].path, p+"/")) {
		to++
	}
	return f.entries[from:to]
}

// stat returns the metadata of e for BuildKit, which requests only files whose size or
// time differs from its last copy. The nanoseconds of the time are derived from the
// content, so that a changed file is sent even if its size and its time in seconds
// are unchanged.
func (e *entry) stat() *types.Stat {
	s := &types.Stat{Path: filepath.FromSlash(e.path), Mode: uint32(e.mode), Size: e.size, ModTime: e.mtime, Linkname: e.link}
	if e.mode.IsRegular() {
		s.ModTime = e.mtime - e.mtime%1e9 + int64(binary.BigEndian.Uint64(e.sum[:])%1e9)
	}
	return s
}

// Open implements [fsutil.FS]. Its error would be treated as an empty file, so
// errors are returned by Read.
func (f *folder) Open(name string) (io.ReadCloser, error) {
	e := f.find(path.Clean(filepath.ToSlash(name)))
	switch {
	case e == nil:
		return io.NopCloser(failing{fs.ErrNotExist}), nil
	case f.open == nil || e.data != nil:
		return io.NopCloser(bytes.NewReader(e.data)), nil
	}
	r := f.open(e)
	if c, ok := r.(io.ReadCloser); ok {
		return c, nil
	}
	return io.NopCloser(r), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// checked reads a file of a tree and fails if its content differs from the tree.
type checked struct {
	tree *tree
	want *entry
	file *os.File
	hash hash.Hash
	size int64
}

func (c *checked) Read(p []byte) (int, error) {
	if c.file == nil {
		file, err := os.Open(filepath.Join(c.tree.dir, filepath.FromSlash(c.want.path)))
		if err != nil {
			return 0, c.other(err)
		}
		c.file, c.hash = file, sha256.New()
	}
	n, err := c.file.Read(p)
	c.hash.Write(p[:n])
	c.size += int64(n)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return 0, c.other(err)
	case c.size > c.want.size, err != nil && content.Sum(c.hash.Sum(nil)) != c.want.sum:
		return 0, c.other(runtime.ErrConflict)
	}
	return n, err
}

// other reports the change to the tree, and so to the builds that use it. The error alone
// is not sufficient: fsutil does not forward it, and BuildKit would wait for the rest
// of the file forever.
func (c *checked) other(err error) error {
	c.tree.spoil(c.want.path)
	return fmt.Errorf("%s: %w", c.want.path, err)
}

func (c *checked) Close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}
