package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"sync"
	"time"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
	"golang.org/x/sync/errgroup"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/content"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// A tree is the content of a build context at one point in time.
type tree struct {
	folder
	dir    string      // absolute
	key    string      // made of the directory and the ignore patterns
	digest plan.Digest // of paths, modes and content

	once    sync.Once
	changed chan struct{} // closed when a file turns out to have changed
	moved   string        // that file; set before changed is closed
}

// spoil reports that a file has changed.
func (t *tree) spoil(path string) {
	t.once.Do(func() {
		t.moved = path
		close(t.changed)
	})
}

// files returns the tree without its directories: programs create those of what they write, and an
// image rarely depends on an empty one.
func (t *tree) files() *tree {
	out := &tree{folder: folder{open: t.open}, dir: t.dir, key: t.key, changed: t.changed}
	for _, e := range t.entries {
		if !e.mode.IsDir() {
			out.entries = append(out.entries, e)
		}
	}
	out.digest = digestOf(out.entries)
	return out
}

// An entry is one file, directory or symbolic link.
type entry struct {
	path  string      // slash-separated, below the context
	mode  fs.FileMode // normalised: see the package comment
	size  int64
	mtime int64 // nanoseconds since 1970; not part of the identity
	link  string
	sum   content.Sum
	data  []byte // of a file that is not on disk
}

// untilChanged returns a context that is cancelled when a file turns out to have changed, until stop
// is called.
func (t *tree) untilChanged(ctx context.Context, spec plan.BuildSpec) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case <-t.changed:
			cancel(errChanged(spec, t.moved))
		case <-watched.Done():
		}
	})
	return watched, func() {
		cancel(nil)
		wait.Wait()
	}
}

// readTree reads the context in dir without the files that the patterns of a .dockerignore
// exclude. Files in ix are not read. If something changes during the read, readTree tries
// again, a few times.
func readTree(ctx context.Context, dir string, patterns []string, ix *index) (*tree, error) {
	for attempt := 1; ; attempt++ {
		t, err := tryTree(ctx, dir, patterns, ix)
		if err == nil || attempt == 4 || !errors.Is(err, content.ErrMoving) && !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
		if err := retry.Pause(ctx, time.Duration(attempt)*10*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func tryTree(ctx context.Context, dir string, patterns []string, ix *index) (*tree, error) {
	began := time.Now()
	disk := &disk{dir: dir, infos: map[string]fs.FileInfo{}}
	filtered, err := fsutil.NewFilterFS(disk, &fsutil.FilterOpt{ExcludePatterns: patterns})
	if err != nil {
		return nil, err
	}
	known := ix.load()
	t := &tree{dir: dir, key: ix.key, changed: make(chan struct{})}
	var stamps []content.Stamp
	var unknown []int // indexes of entries to be read
	err = filtered.Walk(ctx, "", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info := disk.infos[p]
		delete(disk.infos, p) // of a million files they would take half a gigabyte
		e := entry{path: filepath.ToSlash(p), mode: content.Mode(info.Mode()), mtime: info.ModTime().UnixNano()}
		var st content.Stamp
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if e.link, err = os.Readlink(filepath.Join(dir, p)); err != nil {
				return err
			}
			e.link = filepath.ToSlash(e.link)
		case info.Mode().IsRegular():
			e.size, st = info.Size(), content.StampOf(info)
			if s, ok := known[e.path]; ok && s.stamp == st {
				e.sum = s.sum
			} else {
				unknown = append(unknown, len(t.entries))
			}
		case !info.IsDir():
			return nil // sockets, devices and pipes are not part of the content
		}
		t.entries, stamps = append(t.entries, e), append(stamps, st)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := readFiles(ctx, dir, t.entries, stamps, unknown); err != nil {
		return nil, err
	}
	t.open = func(e *entry) io.Reader { return &checked{tree: t, want: e} }
	t.digest = digestOf(t.entries)
	if len(unknown) > 0 || len(known) > 2*len(t.entries) {
		ix.save(t.entries, stamps, began)
	}
	return t, nil
}

// readFiles computes the digests of the entries with these indexes.
func readFiles(ctx context.Context, dir string, entries []entry, stamps []content.Stamp, numbers []int) error {
	group, ctx := errgroup.WithContext(ctx)
	workers := min(2*goruntime.GOMAXPROCS(0), len(numbers))
	for w := range workers {
		group.Go(func() error {
			buf := make([]byte, 128<<10)
			h := sha256.New()
			for i := w; i < len(numbers); i += workers {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				n := numbers[i]
				e := &entries[n]
				if err := content.Read(filepath.Join(dir, filepath.FromSlash(e.path)), stamps[n], h, buf, &e.sum); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// digestOf returns the digest of a tree, over everything that makes up the content of a
// context. It hashes one record for each entry; the format of the records is unambiguous.
func digestOf(entries []entry) plan.Digest {
	h := sha256.New()
	var line []byte
	for i := range entries {
		e := &entries[i]
		line = strconv.AppendQuote(line[:0], e.path)
		line = append(line, ' ')
		line = strconv.AppendUint(line, uint64(e.mode), 8)
		switch {
		case e.mode&fs.ModeSymlink != 0:
			line = append(line, ' ')
			line = strconv.AppendQuote(line, e.link)
		case e.mode.IsRegular():
			line = append(line, ' ')
			line = hex.AppendEncode(line, e.sum[:])
		}
		h.Write(append(line, '\n'))
	}
	return plan.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}

// A disk is a directory for fsutil. It ignores extended attributes, which are not part of a
// context, and keeps the information of each file by path.
type disk struct {
	dir   string
	infos map[string]fs.FileInfo
}

func (d *disk) Walk(ctx context.Context, _ string, fn fs.WalkDirFunc) error {
	return filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, relErr := filepath.Rel(d.dir, path)
		if relErr != nil {
			return relErr
		}
		if rel == "." {
			return err
		}
		return fn(rel, &diskEntry{e, d, rel}, err)
	})
}

func (d *disk) Open(string) (io.ReadCloser, error) { return nil, errors.ErrUnsupported }

type diskEntry struct {
	fs.DirEntry
	disk *disk
	rel  string
}

// Info is called only for entries that are not excluded.
func (e *diskEntry) Info() (fs.FileInfo, error) {
	info, err := e.DirEntry.Info()
	if err != nil {
		return nil, err
	}
	e.disk.infos[e.rel] = info
	return &fsutil.StatInfo{Stat: &types.Stat{Path: e.rel, Mode: uint32(info.Mode())}}, nil
}
