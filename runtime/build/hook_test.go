package build_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/runtime/build"
)

// TestGitInHook: the variables that git exports to a hook, such as post-receive, refer to the
// repository of that hook. A source is checked out from another repository, so the HEAD and
// the index of the user's repository must not change, and programs that git settings
// configure for a working tree must not run.
func TestGitInHook(t *testing.T) {
	repo := newRepository(t)
	first := repo.commit(shop("first"))
	head := repo.commit(shop("second"))
	user := newRepository(t) // the repository whose hook runs
	user.git("fetch", "--quiet", repo.dir, "main")
	user.git("reset", "--quiet", "--hard", "FETCH_HEAD")
	index, err := os.ReadFile(filepath.Join(user.dir, ".git", "index"))
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	ran := filepath.Join(dir, "ran")
	hook := "#!/bin/sh\necho \"$0\" >> " + ran + "\n"
	files{"hooks/post-checkout": hook, "hooks/post-index-change": hook, "hooks/reference-transaction": hook, "fsmonitor": hook}.write(t, dir)
	for _, name := range []string{"hooks/post-checkout", "hooks/post-index-change", "hooks/reference-transaction", "fsmonitor"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	files{"config": "[core]\n\thooksPath = " + dir + "/hooks\n\tfsmonitor = " + dir + "/fsmonitor\n"}.write(t, dir)
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(dir, "config"))

	gitDir := filepath.Join(user.dir, ".git")
	for name, exported := range map[string]map[string]string{
		"no hook":      {},
		"post-receive": {"GIT_DIR": "."},
		"absolute":     {"GIT_DIR": gitDir},
		"post-commit":  {"GIT_INDEX_FILE": filepath.Join(gitDir, "index"), "GIT_PREFIX": "services/"},
		"work tree":    {"GIT_DIR": gitDir, "GIT_WORK_TREE": user.dir},
		"pre-receive": {
			"GIT_DIR": ".", "GIT_OBJECT_DIRECTORY": filepath.Join(gitDir, "objects", "tmp"),
			"GIT_ALTERNATE_OBJECT_DIRECTORIES": filepath.Join(gitDir, "objects"), "GIT_QUARANTINE_PATH": filepath.Join(gitDir, "objects", "tmp"),
		},
		"other settings": {"GIT_DEFAULT_HASH": "sha256", "GIT_TEMPLATE_DIR": dir, "GIT_TRACE": "1", "GIT_NAMESPACE": "x", "GIT_COMMON_DIR": gitDir},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range exported {
				t.Setenv(name, value)
			}
			cache := t.TempDir()
			b := build.New(build.Options{Dir: t.TempDir(), CacheDir: cache})
			if _, err := b.Identify(t.Context(), gitSpec(repo.dir, first)); err != nil {
				t.Error(err)
			}
			if data, err := os.ReadFile(filepath.Join(cache, "git", first, "services/web/src/x")); err != nil || string(data) != "first" {
				t.Errorf("the checkout has %q, %v", data, err)
			}
		})
	}
	cmd := exec.Command("git", "rev-parse", "HEAD")
	cmd.Dir = user.dir
	if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != head {
		t.Errorf("HEAD of the user's repository = %s, %v; want %s", out, err, head)
	}
	if now, err := os.ReadFile(filepath.Join(user.dir, ".git", "index")); err != nil || string(now) != string(index) {
		t.Errorf("the index of the user's repository has changed (%v)", err)
	}
	if out, err := os.ReadFile(ran); err == nil {
		t.Errorf("these ran: %s", out)
	}
}
