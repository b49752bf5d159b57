package git_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/internal/git"
)

// repository creates a repository with one commit, and returns both.
func repository(t *testing.T) (dir, commit string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main", "."},
		{"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--allow-empty", "--message=" + dir},
		{"tag", "v1"},
	} {
		if _, err := git.Run(t.Context(), git.Options{Dir: dir}, args...); err != nil {
			t.Fatal(err)
		}
	}
	commit, err := git.Head(t.Context(), dir)
	if err != nil || !git.IsCommit(commit) {
		t.Fatalf("Head = %q, %v", commit, err)
	}
	return dir, commit
}

// TestHeadInHook: in a hook, the commit of a directory is not that of the repository of
// the hook.
func TestHeadInHook(t *testing.T) {
	other, _ := repository(t)
	dir, commit := repository(t)
	t.Setenv("GIT_DIR", filepath.Join(other, ".git"))
	t.Setenv("GIT_WORK_TREE", other)
	if got, err := git.Head(t.Context(), dir); got != commit || err != nil {
		t.Errorf("Head = %s, %v; want %s", got, err, commit)
	}
	if got, err := git.Head(t.Context(), t.TempDir()); err == nil {
		t.Errorf("Head of a directory that is in no repository = %s", got)
	}
}

// TestEnvironment: among the variables of git, only the user's settings are passed.
func TestEnvironment(t *testing.T) {
	for _, name := range []string{
		"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_COMMON_DIR",
		"GIT_NAMESPACE", "GIT_PREFIX", "GIT_CONFIG", "GIT_TRACE", "GIT_TRACE_CURL", "GIT_TEMPLATE_DIR", "GIT_DEFAULT_HASH", "GIT_WHATEVER_COMES",
		"GIT_ASKPASS", "GIT_ALLOW_PROTOCOL", "GIT_SSH_COMMAND", "SSH_ASKPASS", "HOUSE",
	} {
		t.Setenv(name, "given")
	}
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("[alias]\n\tenvironment = !env\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	out, err := git.Run(t.Context(), git.Options{Dir: t.TempDir(), Transports: []string{"https", "ssh"}}, "environment")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(string(out), "\n")
	for _, line := range got {
		if name, value, _ := strings.Cut(line, "="); value == "given" && name != "GIT_SSH_COMMAND" && name != "HOUSE" {
			t.Errorf("git has %s", line)
		}
	}
	for _, want := range []string{"GIT_SSH_COMMAND=given", "HOUSE=given", "GIT_ALLOW_PROTOCOL=https:ssh", "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=" + config} {
		if !slices.Contains(got, want) {
			t.Errorf("git does not have %s", want)
		}
	}
}

// TestTransports: only the named transports are used, whatever the user's settings allow,
// and none runs a command.
func TestTransports(t *testing.T) {
	dir, commit := repository(t)
	t.Setenv("GIT_CONFIG_COUNT", "1")
	t.Setenv("GIT_CONFIG_KEY_0", "protocol.ext.allow")
	t.Setenv("GIT_CONFIG_VALUE_0", "always")
	refs, err := git.Refs(t.Context(), git.Options{Transports: []string{"file"}}, dir, "HEAD", "refs/heads/*", "v1")
	if err != nil || len(refs) != 3 || refs["HEAD"] != commit || refs["refs/heads/main"] != commit || refs["refs/tags/v1"] != commit {
		t.Errorf("Refs = %v, %v", refs, err)
	}
	if _, err := git.Refs(t.Context(), git.Options{}, dir); err == nil || err.Error() != "git ls-remote: transport 'file' not allowed" {
		t.Errorf("Refs without transports = %v", err)
	}
	ran := filepath.Join(t.TempDir(), "ran")
	if _, err := git.Refs(t.Context(), git.Options{Transports: []string{"file", "https"}}, "ext::touch "+ran); err == nil || err.Error() != "git ls-remote: transport 'ext' not allowed" {
		t.Errorf("Refs of a command = %v", err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the command ran")
	}
}

func TestRunErrors(t *testing.T) {
	dir, _ := repository(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := git.Head(ctx, dir); !errors.Is(err, why) {
		t.Errorf("Head with a context that has ended = %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := git.Head(t.Context(), dir); !errors.Is(err, git.ErrMissing) {
		t.Errorf("Head without git = %v", err)
	}
}

func TestComplaint(t *testing.T) {
	failed := errors.New("exit status 128")
	for _, tt := range []struct{ name, stderr, want string }{
		{"nothing", "", "exit status 128"},
		{"not text", "\xff\n", "exit status 128"},
		{"one", "fatal: not a git repository\n", "not a git repository"},
		{"several", "Cloning\nfatal: one\nwarning: x\nfatal: two\n", "one; two"},
		{"two lines", "fatal: unable to connect to host:\nhost[0: 192.0.2.1]: errno=Connection refused\n\n", "unable to connect to host: host[0: 192.0.2.1]: errno=Connection refused"},
		{"other", "error: pathspec 'x'\n", "error: pathspec 'x'"},
		{"ssh", "no way there\r\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\n", "no way there"},
		{"no ssh", "fatal: 'x' does not appear to be a git repository\nfatal: Could not read from remote repository.\n", "'x' does not appear to be a git repository; Could not read from remote repository."},
		{"password", "fatal: unable to access 'https://me:hunter2@host/x/': refused\n", "unable to access 'https://REDACTED@host/x/': refused"},
		{"prompt", "fatal: could not read Username for 'https://host': terminal prompts disabled\n", "could not read Username for 'https://host': terminal prompts disabled: the server requires a password: add it to one of git's credential helpers"},
	} {
		if got := git.Complaint(tt.stderr, failed); got != tt.want {
			t.Errorf("%s: Complaint = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestLookup: a ref is found by git's order of precedence, and an annotated tag names the
// commit that it points to.
func TestLookup(t *testing.T) {
	dir, first := repository(t)
	run := func(args ...string) {
		t.Helper()
		args = append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)
		if _, err := git.Run(t.Context(), git.Options{Dir: dir}, args...); err != nil {
			t.Fatal(err)
		}
	}
	run("branch", "v2", first)
	run("branch", "old/v1", first)
	run("commit", "--quiet", "--allow-empty", "--message=second")
	run("tag", "--annotate", "--message=x", "v2")
	second, err := git.Head(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"HEAD": second, "main": second, "v1": first, "v2": second, "refs/heads/v2": first, "heads/v2": first, "old/v1": first, "none": "", first: "",
	} {
		got, err := git.Lookup(t.Context(), git.Options{Transports: []string{"file"}}, dir, ref)
		if err != nil || got != want {
			t.Errorf("Lookup of %s = %q, %v; want %q", ref, got, err, want)
		}
	}
}
