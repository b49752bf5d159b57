package git

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/internal/atomicfile"
	"github.com/pipelinefile/pipe/internal/filelock"
)

// checkoutAge is how long an unused checkout is kept.
const checkoutAge = 14 * 24 * time.Hour

// Checkouts are directories with the files of commits, without their repositories. Several
// processes may use the same ones: each commit is fetched by one of them.
type Checkouts struct {
	Dir    string       // contains the checkouts; it may be deleted
	Notice func(string) // if set, it is called for a checkout that is damaged and created again

	mu      sync.Mutex
	turns   map[string]chan struct{} // by commit, with room for the caller that works on it
	checked sync.Map                 // by directory: the *Checkout that was verified
}

// A Checkout has the files of a commit.
type Checkout struct {
	Dir string
	// Pointers are the paths of files in Git LFS that have a pointer instead of their
	// content, because the program git-lfs was not installed.
	Pointers []string
}

// Next to the directory of a checkout are a file with its digest, which is written before the
// directory gets its final name, and a file that is locked by the process that creates it. A
// checkout is damaged if its digest is missing or differs. It is created in a directory whose
// name begins with that of newDir.
func sumFile(dir string) string  { return dir + ".sum" }
func lockFile(dir string) string { return dir + ".lock" }
func newDir(dir string) string {
	return filepath.Join(filepath.Dir(dir), newPrefix+filepath.Base(dir)+"-")
}

const newPrefix = ".new-"

// Get returns the checkout of a commit. An existing one is verified once by each process, and
// created again if it is damaged, or if it has pointers and git-lfs is installed now. To
// create one, Get calls fill, which creates the directory work with the files, and returns
// the paths of those that are pointers. One of several concurrent callers, in this process and
// others, creates it; the others wait.
func (c *Checkouts) Get(ctx context.Context, commit string, fill func(ctx context.Context, work string) (pointers []string, err error)) (*Checkout, error) {
	done, err := c.turn(ctx, commit)
	if err != nil {
		return nil, err
	}
	defer done()
	dir := filepath.Join(c.Dir, commit)
	if known := c.whole(dir); known.complete() {
		return known, nil
	}
	release, err := filelock.Acquire(ctx, lockFile(dir))
	if err != nil {
		return nil, err
	}
	defer release()
	c.checked.Delete(dir) // another process may have created it again
	known := c.whole(dir)
	if known.complete() {
		return known, nil
	}
	removeOld(c.Dir)
	removeNew(dir)
	temp, err := os.MkdirTemp(c.Dir, filepath.Base(newDir(dir)))
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	work := filepath.Join(temp, "work")
	pointers, err := fill(ctx, work)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(work, ".git")); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(dir); err == nil {
		if c.Notice != nil && known == nil {
			c.Notice(fmt.Sprintf("the checkout of %s in %s was damaged, as by a full disk or a power cut: it is made again", commit, dir))
		}
		// Other processes may be reading it, so it is moved away as a whole.
		if err := os.Rename(dir, filepath.Join(temp, "before")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	sum, err := sumOf(work, pointers)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Write(sumFile(dir), sum, 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(work, dir); err != nil {
		return nil, err
	}
	made := &Checkout{dir, pointers}
	c.checked.Store(dir, made)
	return made, nil
}

// Kept returns the checkout of a commit if it exists and is not damaged, and nil otherwise.
func (c *Checkouts) Kept(commit string) *Checkout { return c.whole(filepath.Join(c.Dir, commit)) }

// complete reports whether a checkout can be used as it is.
func (c *Checkout) complete() bool { return c != nil && (len(c.Pointers) == 0 || !HasLFS()) }

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

// whole returns the checkout in dir, or nil if it does not have its original files, and marks
// it as used.
func (c *Checkouts) whole(dir string) *Checkout {
	now := time.Now()
	if os.Chtimes(dir, now, now) != nil || os.Chtimes(sumFile(dir), now, now) != nil {
		return nil
	}
	if known, ok := c.checked.Load(dir); ok {
		return known.(*Checkout)
	}
	want, err := os.ReadFile(sumFile(dir))
	if err != nil {
		return nil
	}
	is := &Checkout{Dir: dir, Pointers: pointersOf(want)}
	if got, err := sumOf(dir, is.Pointers); err != nil || !bytes.Equal(got, want) {
		return nil
	}
	c.checked.Store(dir, is)
	return is
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// sumOf returns the content of the file with the digest of a checkout: a line with the digest
// of its files, that is of their names, types, executable bits and content, and a line for
// each pointer, which are part of the digest.
func sumOf(dir string, pointers []string) ([]byte, error) {
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
	if err != nil {
		return nil, err
	}
	var lines []byte
	for _, p := range pointers {
		lines = append(strconv.AppendQuote(lines, p), '\n')
	}
	sum.Write(lines)
	return append(append(hex.AppendEncode(nil, sum.Sum(nil)), '\n'), lines...), nil
}

// pointersOf returns the pointers in the result of sumOf.
func pointersOf(sum []byte) (pointers []string) {
	_, lines, _ := bytes.Cut(sum, []byte("\n"))
	for line := range bytes.Lines(lines) {
		p, err := strconv.Unquote(string(bytes.TrimSpace(line)))
		if err != nil {
			return nil // it is damaged, so the digest differs
		}
		pointers = append(pointers, p)
	}
	return pointers
}

// removeNew removes what killed processes have left of a checkout that they created. The
// caller must hold its lock.
func removeNew(dir string) {
	all, prefix := filepath.Split(newDir(dir))
	entries, err := os.ReadDir(all)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			os.RemoveAll(filepath.Join(all, e.Name()))
		}
	}
}

// removeDead removes what killed processes have left of a checkout, unless another process is
// creating that checkout.
func removeDead(dir string) {
	if release, err := filelock.Try(lockFile(dir)); err == nil && release != nil {
		removeNew(dir)
		release()
	}
}

// removeOld removes checkouts that have not been used for a long time, and what killed processes
// have left of others.
func removeOld(all string) {
	entries, err := os.ReadDir(all)
	if err != nil {
		return
	}
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), newPrefix); ok {
			commit, _, _ := strings.Cut(rest, "-")
			removeDead(filepath.Join(all, commit))
			continue
		}
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > checkoutAge {
			os.RemoveAll(filepath.Join(all, e.Name()))
		}
	}
}
