package reach

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/pipelinefile/pipe/runtime"
)

// A NoProgramError means that an image lacks a program that is needed to copy files into
// its containers.
type NoProgramError struct {
	Place   Place
	Program string // "tar" or "sh"
}

func (e *NoProgramError) Error() string {
	return fmt.Sprintf("%s has no %s, which is needed to copy files into it: add it to the image, or remove sync=", e.Place, e.Program)
}

// Is reports that an image without the program must be built.
func (e *NoProgramError) Is(target error) bool { return target == runtime.ErrNoSync }

// A copied counts what was copied into a container.
type copied struct {
	files, removed int
	bytes          int64
}

// and adds two counts.
func (c copied) and(other copied) copied {
	return copied{c.files + other.files, c.removed + other.removed, c.bytes + other.bytes}
}

// copyTo applies changes in a container. Each file is replaced atomically: it is
// unpacked in the same directory under a temporary name, and then renamed. A symbolic
// link is copied as a link. Modes are kept, owners are not. Memory use does not depend on
// the size of the files.
func (n *Namespace) copyTo(ctx context.Context, at Place, changes []runtime.SyncChange) (done copied, err error) {
	var files, removed []runtime.SyncChange
	var before, after strings.Builder // scripts
	for _, c := range changes {
		switch info, err := os.Lstat(c.Path); {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			removed = append(removed, c)
		case err != nil:
			return done, err
		case info.Mode().IsRegular(), info.Mode()&fs.ModeSymlink != 0:
			files = append(files, c)
		case info.IsDir(): // its files are separate changes
			to := quote(c.To)
			fmt.Fprintf(&before, "if [ ! -d %s ] || [ -L %s ]; then rm -f -- %s; mkdir -p -- %s; fi\n", to, to, to, to)
		}
	}
	for _, c := range removed {
		script := &after
		for _, f := range files { // a file that has become a directory
			if inside(c.To, f.To) {
				script = &before
			}
		}
		fmt.Fprintf(script, "rm -rf -- %s\n", quote(c.To))
	}
	if before.Len() > 0 {
		if err := n.script(ctx, at, before.String()); err != nil {
			return done, err
		}
	}
	var rename, clean strings.Builder
	for i, f := range files {
		from, to := quote(arriving(i, f.To)), quote(f.To)
		fmt.Fprintf(&rename, "if [ -d %s ]; then rm -rf -- %s; fi\nmv -f -- %s %s\n", to, to, from, to) // a link to a directory is one, too
		fmt.Fprintf(&clean, "rm -f -- %s\n", from)
	}
	if len(files) > 0 {
		if done.bytes, err = n.unpack(ctx, at, files); err != nil {
			_ = n.script(context.WithoutCancel(ctx), at, clean.String()) // the first error says more
			return copied{}, err
		}
	}
	if err := n.script(ctx, at, rename.String()+after.String()); err != nil {
		return copied{}, err
	}
	done.files, done.removed = len(files), len(removed)
	return done, nil
}

// inside reports whether file is dir or below it.
func inside(dir, file string) bool { return file == dir || strings.HasPrefix(file, dir+"/") }

// arriving is the temporary path of a file: in the directory of its destination.
func arriving(i int, to string) string {
	return path.Join(path.Dir(to), ".pipe-sync-"+strconv.Itoa(i)+"-"+path.Base(to))
}

// quote quotes a string for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// unpack unpacks files next to their destinations.
func (n *Namespace) unpack(ctx context.Context, at Place, files []runtime.SyncChange) (size int64, err error) {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		var err error
		size, err = pack(w, files)
		w.CloseWithError(err)
		packed <- err
	}()
	var said bytes.Buffer
	err = n.Exec(ctx, at, Command{Args: []string{"tar", "-x", "-p", "-o", "-f", "-", "-C", "/"}, Stdin: r, Stdout: io.Discard, Stderr: &limited{to: &said, most: 4 << 10}})
	r.CloseWithError(errLost) // so that pack does not block
	if packErr := <-packed; packErr != nil && !errors.Is(packErr, errLost) {
		return 0, packErr
	}
	return size, explainCopy(at, "tar", err, said.String())
}

// pack writes files as an archive.
func pack(to io.Writer, files []runtime.SyncChange) (size int64, err error) {
	w := tar.NewWriter(to)
	for i, f := range files {
		n, err := packOne(w, f.Path, arriving(i, f.To))
		if err != nil {
			return size, err
		}
		size += n
	}
	return size, w.Close()
}

// packOne writes one file, and returns its size.
func packOne(w *tar.Writer, from, name string) (int64, error) {
	name = strings.TrimPrefix(name, "/")
	if target, err := os.Readlink(from); err == nil {
		return 0, w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: filepath.ToSlash(target), Mode: 0o777})
	}
	file, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime()}
	if err := w.WriteHeader(h); err != nil {
		return 0, err
	}
	n, err := io.CopyN(w, file, info.Size())
	if err != nil {
		return n, fmt.Errorf("%s was truncated while it was read: %w", from, err)
	}
	return n, nil
}

// script runs a script in a container.
func (n *Namespace) script(ctx context.Context, at Place, script string) error {
	if script == "" {
		return nil
	}
	var said bytes.Buffer
	err := n.Exec(ctx, at, Command{Args: []string{"sh"}, Stdin: strings.NewReader("set -e\n" + script), Stdout: io.Discard, Stderr: &limited{to: &said, most: 4 << 10}})
	return explainCopy(at, "sh", err, said.String())
}

// afterCopy runs a command in a container into which files were copied.
func (n *Namespace) afterCopy(ctx context.Context, at Place, args []string) error {
	var said bytes.Buffer
	out := &limited{to: &said, most: 4 << 10}
	if err := n.Exec(ctx, at, Command{Args: args, Stdout: out, Stderr: out}); err != nil {
		return fmt.Errorf("%s in %s: %w: %s", strings.Join(args, " "), at, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// explainCopy returns the error of a program that copies files.
func explainCopy(at Place, program string, err error, said string) error {
	var start *StartError
	var exit *ExitError
	switch {
	case errors.As(err, &start):
		return &NoProgramError{at, program}
	case errors.As(err, &exit):
		return fmt.Errorf("copy files into %s: %s: %w: %s", at, program, err, strings.TrimSpace(said))
	}
	return err
}

// limited keeps the first bytes that are written.
type limited struct {
	mu   sync.Mutex
	to   *bytes.Buffer // guarded by mu
	most int
}

// Write never fails, and drops data in excess of the limit.
func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to.Write(p[:min(len(p), l.most-l.to.Len())])
	return len(p), nil
}
