package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/pipelinefile/pipe/internal/redact"
)

// ErrNoCommit is the error if the repository has no such commit, or if its server sends only
// the commits that branches and tags contain, and none contains it.
var ErrNoCommit = errors.New("no branch or tag contains this commit")

// A SubmoduleError is a submodule that cannot be fetched.
type SubmoduleError struct {
	Name string // in .gitmodules; empty if that has no entry for it
	Path string // in the repository that is fetched
	URL  string // without credentials
	Err  error
}

func (e *SubmoduleError) Error() string {
	text := "submodule " + cmp.Or(e.Name, e.Path)
	if e.Name != "" && e.Name != e.Path {
		text += " in " + e.Path
	}
	if e.URL != "" {
		text += " of " + e.URL
	}
	return text + ": " + e.Err.Error()
}

func (e *SubmoduleError) Unwrap() error { return e.Err }

// Fetch creates the directory work with the files of a commit of a repository, without its
// submodules. It fetches only that commit, unless the server permits only whole branches.
func Fetch(ctx context.Context, o Options, repository, commit, work string) error {
	if err := fetch(ctx, o, repository, commit, work); err != nil {
		return err
	}
	o.Dir = work
	_, err := Run(ctx, o, "checkout", "--quiet", "--detach", commit)
	return err
}

// fetch creates a repository in the directory work that has the commit.
func fetch(ctx context.Context, o Options, repository, commit, work string) error {
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	o.Dir = work
	format := "sha1"
	if len(commit) == 64 {
		format = "sha256"
	}
	if _, err := Run(ctx, o, "init", "--quiet", "--template=", "--object-format="+format); err != nil {
		return err
	}
	// Relative URLs of submodules, and the server of large files, are relative to it.
	if _, err := Run(ctx, o, "remote", "add", "--", "origin", repository); err != nil {
		return err
	}
	alone := func() error {
		_, err := Run(ctx, o, "fetch", "--quiet", "--depth=1", "--no-tags", "--", repository, commit)
		return err
	}
	err := alone()
	if err == nil || ctx.Err() != nil || errors.Is(err, syscall.ENOSPC) {
		return err
	}
	// The server may have refused it, or the connection may have broken: a whole history is
	// fetched only from a server that can be reached, and that refuses twice.
	if _, unreachable := Lookup(ctx, o, repository, "HEAD"); unreachable != nil {
		if ctx.Err() != nil {
			return unreachable
		}
		return err
	}
	if alone() == nil {
		return nil
	}
	if _, again := Run(ctx, o, "fetch", "--quiet", "--", repository, "+refs/heads/*:refs/pipe/heads/*", "+refs/tags/*:refs/tags/*"); again != nil {
		if ctx.Err() != nil {
			return again
		}
		return err
	}
	if _, missing := Run(ctx, o, "cat-file", "-e", commit+"^{commit}"); missing != nil {
		return ErrNoCommit
	}
	return nil
}

// asCommitted are settings that override those of the user, so that the files are those of
// the commit on every machine.
var asCommitted = []string{
	"core.autocrlf=false", "core.eol=lf", "core.attributesFile=" + os.DevNull, "submodule.recurse=false",
}

// FetchAll creates the directory work with the files of a commit of a repository and of its
// submodules, without their repositories, and with the content of files in Git LFS. If the
// program git-lfs is not installed, pointers are the paths of files that have a pointer
// instead of their content.
func FetchAll(ctx context.Context, o Options, repository, commit, work string) (pointers []string, err error) {
	if err := fetch(ctx, o, repository, commit, work); err != nil {
		return nil, err
	}
	o.Dir = work
	large, files := HasLFS(), o
	files.Settings = slices.Concat(o.Settings, asCommitted, filters(large))
	if _, err := Run(ctx, files, "checkout", "--quiet", "--detach", commit); err != nil {
		return nil, err
	}
	if !large {
		if pointers, err = findPointers(ctx, o); err != nil {
			return nil, err
		}
	}
	subs, err := submodules(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, s := range subs {
		more, err := s.fetch(ctx, o, repository)
		if err != nil {
			return nil, err
		}
		pointers = append(pointers, more...)
	}
	return pointers, os.RemoveAll(filepath.Join(work, ".git"))
}

// A submodule is a directory of a commit that has the files of another repository.
type submodule struct {
	name, path, url, commit string
}

// submodules returns the submodules of the commit that is checked out in the directory of o,
// without those that are not to be checked out (update = none).
func submodules(ctx context.Context, o Options) ([]submodule, error) {
	out, err := Run(ctx, o, "ls-files", "--stage", "-z")
	if err != nil {
		return nil, err
	}
	var subs []submodule
	for entry := range strings.SplitSeq(string(out), "\x00") {
		meta, name, _ := strings.Cut(entry, "\t")
		if fields := strings.Fields(meta); len(fields) == 3 && fields[0] == "160000" {
			subs = append(subs, submodule{path: name, commit: fields[1]})
		}
	}
	if len(subs) == 0 {
		return nil, nil
	}
	names := make(map[string]string) // by path
	if settings, err := config(ctx, o, "--blob", ":.gitmodules"); err == nil {
		for key, value := range settings {
			if name, ok := strings.CutSuffix(key, ".path"); ok {
				names[path.Clean(value)] = strings.TrimPrefix(name, "submodule.")
			}
		}
	} else if ctx.Err() != nil {
		return nil, err
	}
	paths := []string{"submodule", "--quiet", "init", "--"}
	for i := range subs {
		s := &subs[i]
		if s.name = names[s.path]; s.name == "" {
			return nil, &SubmoduleError{Path: s.path, Err: errors.New("there is no entry for it in .gitmodules")}
		}
		paths = append(paths, ":(literal)"+s.path)
	}
	// It makes relative URLs absolute.
	if _, err := Run(ctx, o, paths...); err != nil {
		return nil, fmt.Errorf("read .gitmodules: %w", err)
	}
	settings, err := config(ctx, o, "--local")
	if err != nil {
		return nil, err
	}
	wanted := subs[:0]
	for _, s := range subs {
		s.url = settings["submodule."+s.name+".url"]
		if settings["submodule."+s.name+".update"] != "none" {
			wanted = append(wanted, s)
		}
	}
	return wanted, nil
}

// config returns the settings of a source of settings, by their full names.
func config(ctx context.Context, o Options, source ...string) (map[string]string, error) {
	out, err := Run(ctx, o, append([]string{"config", "--null", "--list"}, source...)...)
	if err != nil {
		return nil, err
	}
	settings := make(map[string]string)
	for entry := range strings.SplitSeq(string(out), "\x00") {
		if key, value, ok := strings.Cut(entry, "\n"); ok {
			settings[key] = value
		}
	}
	return settings, nil
}

// fetch creates the files of a submodule below the directory of o. The paths of pointers are
// relative to that directory.
func (s submodule) fetch(ctx context.Context, o Options, repository string) (pointers []string, err error) {
	fail := func(err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var inner *SubmoduleError
		if errors.As(err, &inner) { // of the submodule
			inner.Path = path.Join(s.path, inner.Path)
			return inner
		}
		return &SubmoduleError{Name: s.name, Path: s.path, URL: redact.URLs(s.url), Err: err}
	}
	if s.url == "" {
		return nil, fail(errors.New("it has no URL in .gitmodules"))
	}
	if Local(s.url) && !Local(repository) {
		return nil, fail(errors.New("its URL in .gitmodules is a directory of the machine that fetches it, which only a repository of this machine can name"))
	}
	work := filepath.Join(o.Dir, filepath.FromSlash(s.path))
	if !isBelow(o.Dir, s.path) {
		return nil, fail(errors.New("its path is not a directory"))
	}
	pointers, err = FetchAll(ctx, o, s.url, s.commit, work)
	if err != nil {
		return nil, fail(err)
	}
	for i := range pointers {
		pointers[i] = path.Join(s.path, pointers[i])
	}
	return pointers, nil
}

// isBelow reports whether the path below dir is a directory, and no part of it is a link.
func isBelow(dir, name string) bool {
	top, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	want := filepath.Join(top, filepath.FromSlash(name))
	is, err := filepath.EvalSymlinks(want)
	return err == nil && is == want && isDir(is)
}

// Local reports whether the URL of a repository names a directory of this machine, as git
// decides it.
func Local(repository string) bool {
	if strings.HasPrefix(repository, "file://") {
		return true
	}
	colon, slash := strings.IndexByte(repository, ':'), strings.IndexByte(repository, '/')
	return colon < 0 || slash >= 0 && slash < colon
}
