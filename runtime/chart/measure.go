package chart

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/ignore"

	"github.com/pipelinefile/pipe/runtime/internal/workspace"
)

// The limits of a chart including all its subcharts. Helm's own limits apply to one
// archive, and not to archives within it.
const (
	maxFiles = 10_000
	maxBytes = 200 << 20
)

// A room tracks the remaining limits of a chart. A chart is measured before Helm loads
// it, because Helm uses much memory for many files, and cannot be stopped.
type room struct {
	files int
	bytes int64
	root  string // symbolic links must not lead out of it; empty: there are no links
	what  string // what root is, for errors
}

func newRoom(root string) *room { return &room{maxFiles, maxBytes, root, "workspace"} }

// room returns the room of a chart in the directory of the shelf.
func (s *Shelf) room() *room {
	r := newRoom(s.dir)
	r.what = s.what
	return r
}

// take subtracts a file from the room.
func (r *room) take(ctx context.Context, size int64) error {
	r.files--
	r.bytes -= size
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case r.files < 0:
		return fmt.Errorf("it has more than %d files", maxFiles)
	case r.bytes < 0:
		return fmt.Errorf("its files are larger than %d MiB together", maxBytes>>20)
	}
	return nil
}

// archive takes the files of an archive. Helm reports errors in the archive.
func (r *room) archive(ctx context.Context, in io.Reader) error {
	unpacked, err := gzip.NewReader(in)
	if err != nil {
		return nil
	}
	files := tar.NewReader(unpacked)
	for {
		header, err := files.Next()
		if err != nil {
			return nil
		}
		if err := r.take(ctx, header.Size); err != nil {
			return err
		}
		if vendored(header.Name) {
			if err := r.archive(ctx, files); err != nil {
				return err
			}
		}
	}
}

// vendored reports whether a file of a chart is one of its dependencies.
func vendored(name string) bool {
	return strings.HasSuffix(name, ".tgz") && path.Base(path.Dir(name)) == "charts"
}

// file takes the files of an archive on disk.
func (r *room) file(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.archive(ctx, f)
}

// outside returns the error of a symbolic link that leads out of a directory.
func outside(name, what string) error {
	return fmt.Errorf("%s leads out of the %s through a symbolic link", name, what)
}

// dir takes the files of a directory that Helm would load. It follows symbolic links
// as Helm does; a cycle exhausts the room. A link that leads out of the
// workspace is an error: evaluation refuses it, but it may have been created since (L2).
func (r *room) dir(ctx context.Context, top string) error {
	rules := ignore.Empty()
	if found, err := ignore.ParseFile(filepath.Join(top, ignore.HelmIgnore)); err == nil {
		rules = found
	}
	rules.AddDefaults()
	return r.below(ctx, top, "", rules)
}

func (r *room) below(ctx context.Context, top, dir string, rules *ignore.Rules) error {
	entries, err := os.ReadDir(filepath.Join(top, filepath.FromSlash(dir)))
	if err != nil {
		return withoutPath(err)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		full := filepath.Join(top, filepath.FromSlash(name))
		info, err := os.Stat(full)
		if err != nil {
			return fmt.Errorf("%s: %w", name, withoutPath(err))
		}
		if rules.Ignore(name, info) {
			continue
		}
		if e.Type()&fs.ModeSymlink != 0 {
			_, err := workspace.Resolve(r.root, full)
			if errors.Is(err, workspace.ErrOutside) {
				return outside(name, r.what)
			}
			if err != nil {
				return fmt.Errorf("%s %w", name, withoutPath(err))
			}
		}
		size := info.Size()
		if info.IsDir() {
			size = 0
		}
		if err := r.take(ctx, size); err != nil {
			return err
		}
		switch {
		case info.IsDir():
			err = r.below(ctx, top, name, rules)
		case info.Mode().IsRegular() && vendored(name):
			err = r.file(ctx, full)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
