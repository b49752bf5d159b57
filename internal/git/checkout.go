package git

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
	"sync"
	"time"

	"github.com/pipelinefile/pipe/internal/atomicfile"
)

// checkoutAge is how long an unused checkout is kept.
const checkoutAge = 7 * 24 * time.Hour

// Checkouts are directories with the files of commits, without their repositories. Other
// processes may use the same ones.
type Checkouts struct {
	Dir    string       // contains the checkouts; it may be deleted
	Notice func(string) // if set, it is called for a checkout that is damaged and created again

	mu      sync.Mutex
	turns   map[string]chan struct{} // by commit, with room for the caller that works on it
	checked sync.Map                 // directories of checkouts that have been verified
}

// A checkout has the digest of its files in a separate file next to it, which is written
// before the directory gets its final name. If that digest is missing or differs, the
// checkout is damaged.
func sumFile(dir string) string { return dir + ".sum" }

// Get returns the directory with the files of a commit. An existing checkout is verified
// once by each process, and created again if it is damaged. To create one, Get calls fill,
// which creates the directory work with the files.
func (c *Checkouts) Get(ctx context.Context, commit string, fill func(ctx context.Context, work string) error) (string, error) {
	done, err := c.turn(ctx, commit)
	if err != nil {
		return "", err
	}
	defer done()
	dir := filepath.Join(c.Dir, commit)
	_, err = os.Lstat(dir)
	exists := !errors.Is(err, fs.ErrNotExist)
	if exists && c.whole(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return "", err
	}
	removeOld(c.Dir)
	temp, err := os.MkdirTemp(c.Dir, ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	if exists {
		if c.Notice != nil {
			c.Notice(fmt.Sprintf("the checkout of %s in %s was damaged, as by a full disk or a power cut: it is made again", commit, dir))
		}
		// Other processes may be reading it, so it is moved away as a whole.
		if err := os.Rename(dir, filepath.Join(temp, "damaged")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	work := filepath.Join(temp, "work")
	if err := fill(ctx, work); err != nil {
		return "", err
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
	if err := os.Rename(work, dir); err != nil && !isDir(dir) {
		return "", err
	}
	c.checked.Store(dir, true)
	return dir, nil
}

// turn waits until no other caller works on the checkout of a commit.
func (c *Checkouts) turn(ctx context.Context, commit string) (done func(), err error) {
	c.mu.Lock()
	if c.turns == nil {
		c.turns = map[string]chan struct{}{}
	}
	turn := c.turns[commit]
	if turn == nil {
		turn = make(chan struct{}, 1)
		c.turns[commit] = turn
	}
	c.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Fetch creates the directory work with the files of a commit of a repository, without its
// submodules. It fetches only that commit, unless the server permits only whole branches.
func Fetch(ctx context.Context, o Options, repository, commit, work string) error {
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	o.Dir = work
	if _, err := Run(ctx, o, "init", "--quiet"); err != nil {
		return err
	}
	if _, err := Run(ctx, o, "fetch", "--quiet", "--depth=1", "--no-tags", "--", repository, commit); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, again := Run(ctx, o, "fetch", "--quiet", "--", repository, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"); again != nil {
			return err
		}
	}
	_, err := Run(ctx, o, "checkout", "--quiet", "--detach", commit)
	return err
}

// whole reports whether a checkout still has its original files, and marks it as used.
func (c *Checkouts) whole(dir string) bool {
	now := time.Now()
	if os.Chtimes(dir, now, now) != nil || os.Chtimes(sumFile(dir), now, now) != nil {
		return false
	}
	if _, known := c.checked.Load(dir); known {
		return true
	}
	want, err := os.ReadFile(sumFile(dir))
	if err != nil {
		return false
	}
	if is, err := sumOf(dir); err != nil || is != string(want) {
		return false
	}
	c.checked.Store(dir, true)
	return true
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
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
