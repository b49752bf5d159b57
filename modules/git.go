package modules

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/internal/git"
	"github.com/pipelinefile/pipe/internal/lock"
)

// fetchGit fetches one commit into a repository without a work tree and reads the
// files from there, so that links and submodules of the remote repository are
// never created on this machine, and no filter or hook runs.
func (s store) fetchGit(ctx context.Context, m lock.Module, pin lock.Pin) (lock.Pin, map[string][]byte, error) {
	dir, err := os.MkdirTemp(s.dir, ".git-")
	if err != nil {
		return pin, nil, err
	}
	defer os.RemoveAll(dir)
	g := repository{m, dir}
	if _, err := g.run(ctx, nil, "init", "--quiet", "--bare", "."); err != nil {
		return pin, nil, err
	}
	commit, ref := pin.Commit, pin.Commit
	if commit == "" {
		if commit, ref, err = g.resolve(ctx); err != nil {
			return pin, nil, err
		}
	}
	ctx, stop := s.bounds.watch(ctx, dir)
	defer stop()
	if _, err := g.run(ctx, nil, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", m.URL(), ref); err != nil {
		// Some servers only serve commits that are the tip of a ref.
		if ref != commit || ctx.Err() != nil {
			return pin, nil, err
		}
		if _, err := g.run(ctx, nil, "fetch", "--quiet", "--no-recurse-submodules", "--", m.URL(), "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"); err != nil {
			return pin, nil, err
		}
	}
	if err := s.bounds.check(dir); err != nil {
		return pin, nil, err
	}
	out, err := g.run(ctx, nil, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
	if err != nil {
		return pin, nil, fmt.Errorf("the repository no longer has the commit %s: %w", commit, err)
	}
	files, err := g.read(ctx, string(out))
	return lock.Pin{Commit: commit}, files, err
}

// A repository is a local repository into which a module is fetched.
type repository struct {
	module lock.Module
	dir    string
}

// resolve returns the commit of the module's ref, and the ref to fetch.
func (g repository) resolve(ctx context.Context) (commit, ref string, err error) {
	want := g.module.Ref
	if git.IsCommit(want) {
		return want, want, nil
	}
	found, err := git.Refs(ctx, g.options(nil), g.module.URL(), "refs/tags/"+want, "refs/tags/"+want+"^{}", "refs/heads/"+want)
	if err != nil {
		return "", "", err
	}
	for _, ref := range []string{"refs/tags/" + want, "refs/heads/" + want} {
		for _, name := range []string{ref + "^{}", ref} { // the target of an annotated tag takes precedence
			if commit := found[name]; commit != "" {
				return commit, ref, nil
			}
		}
	}
	return "", "", fmt.Errorf("the repository has no branch or tag %s: check its name; a commit must be given in full", want)
}

// read returns the files listed by ls-tree that are part of a module.
func (g repository) read(ctx context.Context, tree string) (map[string][]byte, error) {
	names, sizes, asked := []string{}, []int{}, strings.Builder{}
	c := collector{}
	for entry := range strings.SplitSeq(tree, "\x00") {
		meta, name, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(meta)
		// Skip symbolic links, which have the mode 120000, and submodules, which have 160000.
		if !ok || len(fields) != 4 || fields[0] != "100644" && fields[0] != "100755" || !lock.IsFile(name) {
			continue
		}
		n, err := strconv.Atoi(fields[3])
		if err != nil {
			return nil, err
		}
		if err := c.admit(name, int64(n)); err != nil {
			return nil, err
		}
		names, sizes = append(names, name), append(sizes, n)
		asked.WriteString(fields[2] + "\n")
	}
	out, err := g.run(ctx, strings.NewReader(asked.String()), "cat-file", "--batch")
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(bytes.NewReader(out))
	for i, name := range names {
		if _, err := r.ReadString('\n'); err != nil {
			return nil, err
		}
		data := make([]byte, sizes[i])
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, err
		}
		if _, err := r.Discard(1); err != nil {
			return nil, err
		}
		c.put(name, data)
	}
	return c.result()
}

// run runs git and allows only the transport of the module.
func (g repository) run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	return git.Run(ctx, g.options(stdin), args...)
}

func (g repository) options(stdin io.Reader) git.Options {
	transports := []string{strings.TrimPrefix(g.module.Scheme, "git+")}
	if transports[0] == "https" {
		transports = append(transports, "ssh") // if the user's git configuration rewrites the URL
	}
	return git.Options{Dir: g.dir, Transports: transports, Stdin: stdin}
}
