package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pipelinefile/pipe/internal/atomicfile"
	"github.com/pipelinefile/pipe/internal/git"
)

// checkoutAge is how long an unused checkout is kept.
const checkoutAge = 7 * 24 * time.Hour

// A checkout has the digest of its files in a separate file next to it, which is written
// before the directory gets its final name. If that digest is missing or differs, the
// checkout is damaged.
func sumFile(dir string) string { return dir + ".sum" }

// checkout returns a directory with the files of a commit of a local repository. An existing
// checkout is verified once by each process, and created again if it is damaged.
func (b *Builder) checkout(ctx context.Context, repo, commit string) (string, error) {
	if b.opts.CacheDir == "" {
		return "", errors.New("builds from repositories of this machine need a directory for checkouts, and have none")
	}
	all := filepath.Join(b.opts.CacheDir, "git")
	dir := filepath.Join(all, commit)
	return b.checkouts.do(ctx, repo+"\x00"+commit, func(ctx context.Context) (string, error) {
		_, err := os.Lstat(dir)
		exists := !errors.Is(err, fs.ErrNotExist)
		if exists && b.whole(dir) {
			return dir, nil
		}
		if err := os.MkdirAll(all, 0o700); err != nil {
			return "", err
		}
		removeOld(all)
		temp, err := os.MkdirTemp(all, ".new-")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(temp)
		if exists {
			if b.opts.Notice != nil {
				b.opts.Notice(fmt.Sprintf("the checkout of %s in %s was damaged, as by a full disk or a power cut: it is made again", commit, dir))
			}
			// Other processes may be reading it, so it is moved away as a whole.
			if err := os.Rename(dir, filepath.Join(temp, "damaged")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", err
			}
		}
		work := filepath.Join(temp, "work")
		steps := []struct {
			dir  string
			args []string
		}{
			{temp, []string{"clone", "--quiet", "--shared", "--no-checkout", "--", repo, work}},
			{work, []string{"checkout", "--quiet", "--detach", commit}},
			{work, []string{"submodule", "--quiet", "update", "--init", "--recursive"}},
		}
		for _, step := range steps {
			o := anyTransport
			o.Dir = step.dir
			if _, err := git.Run(ctx, o, step.args...); err != nil {
				return "", fmt.Errorf("check out %s of %s: %w", commit, repo, err)
			}
		}
		if err := os.RemoveAll(filepath.Join(work, ".git")); err != nil {
			return "", err
		}
		sum, err := sumOf(work)
		if err != nil {
			return "", err
		}
		if err := atomicfile.Write(sumFile(dir), []byte(sum), 0o600); err != nil {
			return "", err
		}
		// Another process may have been faster: its files are the same.
		if err := os.Rename(work, dir); err != nil && !isFolder(dir) {
			return "", err
		}
		b.checked.Store(dir, true)
		return dir, nil
	})
}

// whole reports whether a checkout still has its original files, and marks it as used.
func (b *Builder) whole(dir string) bool {
	now := time.Now()
	if os.Chtimes(dir, now, now) != nil || os.Chtimes(sumFile(dir), now, now) != nil {
		return false
	}
	if _, known := b.checked.Load(dir); known {
		return true
	}
	want, err := os.ReadFile(sumFile(dir))
	if err != nil {
		return false
	}
	if is, err := sumOf(dir); err != nil || is != string(want) {
		return false
	}
	b.checked.Store(dir, true)
	return true
}

// sumOf returns the digest of the files below a directory: their names, types, executable
// bits and content.
func sumOf(dir string) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%q %v %v ", rel, info.Mode().Type(), info.Mode()&0o100 != 0)
		switch {
		case info.Mode().IsRegular():
			fmt.Fprintf(sum, "%d\n", info.Size())
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			_, err = io.Copy(sum, file)
			return errors.Join(err, file.Close())
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			fmt.Fprintf(sum, "%q\n", target)
			return err
		}
		fmt.Fprintln(sum)
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)) + "\n", err
}

// removeOld removes checkouts that have not been used for a long time, and the remains of
// killed processes.
func removeOld(all string) {
	entries, err := os.ReadDir(all)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > checkoutAge {
			os.RemoveAll(filepath.Join(all, e.Name()))
		}
	}
}
