package watch

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A repository is the git repository that the workspace is in. Nothing of it is
// watched: its state is read when something else has changed.
type repository struct {
	dir    string // directory of HEAD and the index
	common string // directory of branches; different in a linked worktree
}

// A head is what HEAD of a repository names.
type head struct {
	ref    string    // "refs/heads/main"; empty: a commit
	commit string    // empty: none yet
	moved  time.Time // the last write of a file that defines it
}

// findRepository returns the repository that contains dir, or nil.
func findRepository(dir string) *repository {
	for {
		dot := filepath.Join(dir, ".git")
		if info, err := os.Stat(dot); err == nil {
			if info.IsDir() {
				return &repository{dir: dot, common: dot}
			}
			return linked(dot)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

// linked reads the .git file of a linked worktree or a submodule.
func linked(file string) *repository {
	text, err := os.ReadFile(file)
	at, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
	if err != nil || !ok {
		return nil
	}
	r := &repository{dir: from(filepath.Dir(file), at)}
	r.common = r.dir
	if text, err := os.ReadFile(filepath.Join(r.dir, "commondir")); err == nil {
		r.common = from(r.dir, strings.TrimSpace(string(text)))
	}
	return r
}

// from returns path; a relative one is relative to dir.
func from(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// busy reports whether git is changing the files. A lock that is older than a
// minute is stale.
func (r *repository) busy(now time.Time) bool {
	if r == nil {
		return false
	}
	info, err := os.Lstat(filepath.Join(r.dir, "index.lock"))
	return err == nil && now.Sub(info.ModTime()) < time.Minute
}

// head reads what HEAD names. It is zero if that cannot be read.
func (r *repository) head() (h head) {
	if r == nil {
		return h
	}
	text := h.read(filepath.Join(r.dir, "HEAD"))
	ref, ok := strings.CutPrefix(text, "ref: ")
	if !ok {
		h.commit = text
		return h
	}
	h.ref = ref
	if !filepath.IsLocal(filepath.FromSlash(ref)) {
		return h
	}
	if h.commit = h.read(filepath.Join(r.common, filepath.FromSlash(ref))); h.commit != "" {
		return h
	}
	// Branches are packed into one file, or stored in tables whose list changes with them.
	packed := h.read(filepath.Join(r.common, "packed-refs"))
	for line := range strings.Lines(packed) {
		if commit, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == ref {
			h.commit = commit
			return h
		}
	}
	h.commit = h.read(filepath.Join(r.common, "reftable", "tables.list"))
	return h
}

// read returns the content of a file, and records when it was written.
func (h *head) read(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	if info, err := os.Stat(file); err == nil && info.ModTime().After(h.moved) {
		h.moved = info.ModTime()
	}
	return string(bytes.TrimSpace(text))
}
