package build_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
)

// TestCheckoutUnusable: the advice is about the directory of checkouts, not about the repository.
func TestCheckoutUnusable(t *testing.T) {
	repo := newRepository(t)
	commit := repo.commit(shop("text"))
	cache := t.TempDir()
	if err := os.WriteFile(filepath.Join(cache, "git"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := build.New(build.Options{Dir: t.TempDir(), CacheDir: cache}).Identify(t.Context(), gitSpec(repo.dir, commit))
	if advice, _ := runtime.AdviceOf(err); advice.Do != "make "+filepath.Join(cache, "git")+" writable, or delete it: it has only copies" {
		t.Errorf("Identify = %v, with the advice %q", err, advice.Do)
	}
}

// TestCheckoutDamaged: a checkout whose files have changed is created again, with one notice.
// An intact one is used.
func TestCheckoutDamaged(t *testing.T) {
	repo := newRepository(t)
	commit := repo.commit(shop("text"))
	cache := t.TempDir()
	dir := filepath.Join(cache, "git", commit)
	file := filepath.Join(dir, "services/web/src/x")
	identify := func() (string, []string) {
		t.Helper()
		var said []string
		b := build.New(build.Options{Dir: t.TempDir(), CacheDir: cache, Notice: func(text string) { said = append(said, text) }})
		for range 2 {
			if _, err := b.Identify(t.Context(), gitSpec(repo.dir, commit)); err != nil {
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(data), said
	}
	if got, said := identify(); got != "text" || len(said) > 0 {
		t.Fatalf("the checkout has %q, and it is told %q", got, said)
	}
	for _, test := range []struct {
		name   string
		damage func() error
		whole  bool
	}{
		{"nothing", func() error { return nil }, true},
		{"it is gone", func() error { return os.RemoveAll(dir) }, true},
		{"empty", func() error { return os.Truncate(file, 0) }, false},
		{"as long as before", func() error { return os.WriteFile(file, []byte("TEXT"), 0o600) }, false},
		{"a file is gone", func() error { return os.Remove(file) }, false},
		{"a file is a directory", func() error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) }, false},
		{"a file too many", func() error { return os.WriteFile(file+"x", nil, 0o600) }, false},
		{"it can be executed", func() error { return os.Chmod(file, 0o700) }, false},
		{"half of it", func() error { return os.RemoveAll(filepath.Join(dir, "services/web/src")) }, false},
		{"a file in its place", func() error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) }, false},
		{"no digest", func() error { return os.Remove(dir + ".sum") }, false},
		{"a damaged digest", func() error { return os.Truncate(dir+".sum", 10) }, false},
	} {
		if err := test.damage(); err != nil {
			t.Fatal(err)
		}
		got, said := identify()
		if got != "text" || len(said) > 1 || (len(said) == 0) != test.whole {
			t.Errorf("%s: the checkout has %q, and it is told %q", test.name, got, said)
		}
		if len(said) > 0 && !strings.Contains(said[0], commit+" in "+dir+" was damaged") {
			t.Errorf("%s: it is told %q", test.name, said)
		}
	}
	left, err := filepath.Glob(filepath.Join(cache, "git", "*"))
	if err != nil || len(left) != 3 { // with its digest and its lock
		t.Errorf("left are %q, %v", left, err)
	}
	if hidden, err := filepath.Glob(filepath.Join(cache, "git", ".*")); err != nil || len(hidden) > 0 {
		t.Errorf("left are %q, %v", hidden, err)
	}
}
