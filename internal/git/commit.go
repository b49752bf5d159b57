package git

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

var commit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// IsCommit reports whether ref is a full commit hash.
func IsCommit(ref string) bool { return commit.MatchString(ref) }

// Head returns the commit that is checked out in the repository that contains a directory.
func Head(ctx context.Context, dir string) (string, error) {
	out, err := Run(ctx, Options{Dir: dir}, "rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}

// Refs returns the commits of the refs of a repository that match the patterns of
// git ls-remote, by name. The commit of an annotated tag has the name of the tag
// followed by "^{}".
func Refs(ctx context.Context, o Options, repository string, patterns ...string) (map[string]string, error) {
	out, err := Run(ctx, o, append([]string{"ls-remote", "--", repository}, patterns...)...)
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if commit, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && IsCommit(commit) {
			refs[name] = commit
		}
	}
	return refs, nil
}

// answerTime is the timeout for listing the refs of a repository.
const answerTime = time.Minute

// Lookup returns the commit that ref, a branch, a tag or the full name of a ref, names in
// a repository, by git's order of precedence. It returns "" if there is none.
func Lookup(ctx context.Context, o Options, repository, ref string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("git did not answer within %v", answerTime))
	defer cancel()
	found, err := Refs(ctx, o, repository, ref, ref+"^{}")
	if err != nil {
		return "", err
	}
	for _, prefix := range []string{"", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"} {
		for _, suffix := range []string{"^{}", ""} { // the target of an annotated tag takes precedence
			if commit, ok := found[prefix+ref+suffix]; ok {
				return commit, nil
			}
		}
	}
	return "", nil
}
