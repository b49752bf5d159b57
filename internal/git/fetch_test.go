package git_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pipelinefile/pipe/internal/git"
)

// TestFetchAll: a commit is fetched with its submodules, also nested ones, ones with relative
// URLs and renamed ones, and without their repositories.
func TestFetchAll(t *testing.T) {
	s := newServer(t)
	deep, money, shop := s.repository("deep.git"), s.repository("libs/money.git"), s.repository("shop.git")
	inDeep := deep.commit(map[string]string{"d": "deep"})
	inMoney := money.commit(map[string]string{"m": "money", "Dockerfile": "FROM scratch\n"}, sub{name: "deep", path: "below/deep", url: "../../deep.git", commit: inDeep})
	commit := shop.commit(map[string]string{"a/b": "text", "link": "-> a/b", "eol": "one\r\ntwo\n", ".gitattributes": "none -text\n"},
		sub{name: "money", path: "vendor/money", url: "../libs/money.git", commit: inMoney},
		sub{name: "first.name", path: "renamed", url: s.url + "/deep.git", commit: inDeep},
		sub{name: "off", path: "off", url: s.url + "/nowhere.git", commit: inDeep, update: "none"},
	)
	want := map[string]string{
		"a/b": "text", "link": "-> a/b", "eol": "one\r\ntwo\n", ".gitattributes": "none -text\n",
		"vendor/money/m": "money", "vendor/money/Dockerfile": "FROM scratch\n", "vendor/money/below/deep/d": "deep",
		"renamed/d": "deep", "off": "directory",
	}
	config := filepath.Join(t.TempDir(), "config")
	text := "[core]\n\tautocrlf = true\n[submodule]\n\trecurse = true\n[init]\n\ttemplateDir = /no/such/directory\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string]string{"no settings": os.DevNull, "settings of the user": config} {
		t.Setenv("GIT_CONFIG_GLOBAL", env)
		for from, url := range map[string]string{"http": shop.url, "file": "file://" + filepath.Join(s.root, "shop.git"), "path": filepath.Join(s.root, "shop.git")} {
			got, _, err := s.fetch(url, commit)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, from, err)
			}
			for _, modules := range []string{".gitmodules", "vendor/money/.gitmodules"} {
				if got[modules] == "" {
					t.Errorf("%s, %s: there is no %s", name, from, modules)
				}
				delete(got, modules)
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s, %s: got %q\nwant %q", name, from, got, want)
			}
		}
	}
}

// TestFetchAllOld: a commit that the server does not send alone is fetched with the branches
// and tags that contain it.
func TestFetchAllOld(t *testing.T) {
	s := newServer(t)
	shop := s.repository("shop.git")
	first := shop.commit(map[string]string{"x": "first"})
	lost := shop.commit(map[string]string{"x": "lost"})
	shop.git(shop.dir, "reset", "--quiet", "--hard", first)
	tagged := shop.commit(map[string]string{"x": "tagged"})
	shop.git(shop.dir, "tag", "--annotate", "--message=x", "v1")
	shop.git(shop.dir, "reset", "--quiet", "--hard", first)
	last := shop.commit(map[string]string{"x": "last"})
	upload := "POST /shop.git/git-upload-pack"

	for _, old := range []bool{false, true} {
		s.set(old, nil)
		for commit, want := range map[string]string{first: "first", tagged: "tagged", last: "last"} {
			s.count(upload)
			got, _, err := s.fetch(shop.url, commit)
			if err != nil || got["x"] != want {
				t.Errorf("old=%v: %s has %q, %v", old, want, got, err)
			}
			n := s.count(upload)
			if most := map[bool]int{false: 2, true: 4}[old]; n == 0 || n > most {
				t.Errorf("old=%v: %s took %d requests", old, want, n)
			}
		}
	}
	for _, commit := range []string{lost, strings.Repeat("ab", 20)} {
		if _, _, err := s.fetch(shop.url, commit); !errors.Is(err, git.ErrNoCommit) {
			t.Errorf("fetch of %s = %v", commit, err)
		}
	}

	// A server of files only, which knows nothing of shallow fetches.
	shop.git(shop.dir, "update-server-info")
	dumb := httptest.NewServer(http.FileServer(http.Dir(s.root)))
	t.Cleanup(dumb.Close)
	if got, _, err := s.fetch(dumb.URL+"/shop.git", first); err != nil || got["x"] != "first" {
		t.Errorf("from a server of files: %q, %v", got, err)
	}
}

// TestFetchAllBroken: after a broken connection, the commit is fetched alone again.
func TestFetchAllBroken(t *testing.T) {
	s := newServer(t)
	shop := s.repository("shop.git")
	commit := shop.commit(map[string]string{"x": "first"})
	shop.commit(map[string]string{"x": "last"})
	var broken, wanted atomic.Int32 // connections, and requests for all branches
	s.set(false, func(req *http.Request) bool {
		if req.Method != http.MethodPost {
			return true
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("command=fetch")) {
			if broken.Add(1) == 1 {
				panic(http.ErrAbortHandler)
			}
			if !bytes.Contains(body, []byte("deepen 1")) {
				wanted.Add(1)
			}
		}
		return true
	})
	if got, _, err := s.fetch(shop.url, commit); err != nil || got["x"] != "first" || broken.Load() != 2 || wanted.Load() != 0 {
		t.Errorf("fetch = %q, %v, after %d requests, %d of them for all branches", got, err, broken.Load(), wanted.Load())
	}
}

// TestFetchAllSSH: ssh runs as the user's settings say.
func TestFetchAllSSH(t *testing.T) {
	s := newServer(t)
	lib, shop := s.repository("lib.git"), s.repository("shop.git")
	inLib := lib.commit(map[string]string{"y": "lib"})
	commit := shop.commit(map[string]string{"x": "text"}, sub{name: "lib", path: "lib", url: "../lib.git", commit: inLib})
	ssh := filepath.Join(t.TempDir(), "ssh")
	text := "#!/bin/sh\ntest \"$1\" != -G || exit 0\nwhile [ \"$1\" != git@shop.test ]; do shift || exit 1; done\nshift\nexec sh -c \"$*\"\n"
	if err := os.WriteFile(ssh, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_SSH_COMMAND", ssh)
	for _, url := range []string{"ssh://git@shop.test" + s.root + "/shop.git", "git@shop.test:" + s.root + "/shop.git"} {
		got, _, err := s.fetch(url, commit)
		if err != nil || got["x"] != "text" || got["lib/y"] != "lib" {
			t.Errorf("fetch of %s = %q, %v", url, got, err)
		}
	}
}

// TestFetchAllHostile: nothing of a repository leads out of the checkout, or runs.
func TestFetchAllHostile(t *testing.T) {
	s := newServer(t)
	lib := s.repository("lib.git")
	inLib := lib.commit(map[string]string{"y": "lib"})
	outside := t.TempDir()
	for name, subs := range map[string][]sub{
		"a path out of the repository": {{name: "lib", path: "lib", url: s.url + "/lib.git", commit: inLib}, {name: "../../x", path: "x", url: s.url + "/lib.git", commit: inLib}},
		"an option as its URL":         {{name: "lib", path: "lib", url: "--upload-pack=touch " + outside + "/ran", commit: inLib}},
		"an option as its path":        {{name: "lib", path: "--help", url: s.url + "/lib.git", commit: inLib}},
		"a pattern as its path":        {{name: "lib", path: ":(glob)**", url: s.url + "/lib.git", commit: inLib}},
		"a command as its update":      {{name: "lib", path: "lib", url: s.url + "/lib.git", commit: inLib, update: "!touch " + outside + "/ran"}},
	} {
		t.Run(name, func(t *testing.T) {
			shop := s.repository("shop-" + strings.ReplaceAll(name, " ", "-") + ".git")
			commit := shop.commit(map[string]string{"link": "-> " + outside, ".gitattributes": "* filter=x\n", ".lfsconfig": "[lfs]\n"}, subs...)
			got, _, err := s.fetch(shop.url, commit)
			if left := names(t, outside); len(left) > 0 {
				t.Errorf("outside are %q", left)
			}
			if err == nil && got[subs[0].path+"/y"] != "lib" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestFetchAllSHA256: a repository can have the other kind of hashes.
func TestFetchAllSHA256(t *testing.T) {
	s := newServer(t)
	shop := &served{s, "shop.git", t.TempDir(), s.url + "/shop.git"}
	s.git("", "init", "--quiet", "--object-format=sha256", "--separate-git-dir", filepath.Join(s.root, shop.name), shop.dir)
	commit := shop.commit(map[string]string{"x": "text"})
	if got, _, err := s.fetch(shop.url, commit); err != nil || got["x"] != "text" || len(commit) != 64 {
		t.Errorf("fetch of %s = %q, %v", commit, got, err)
	}
}

// TestSubmoduleErrors: the error names the submodule, its path and its URL, without
// credentials.
func TestSubmoduleErrors(t *testing.T) {
	s := newServer(t)
	money := s.repository("money.git")
	good := money.commit(map[string]string{"m": "money"})
	lost := strings.Repeat("ab", 20)
	closed := httptest.NewServer(nil)
	closed.Close()
	gone := strings.Replace(closed.URL, "http://", "http://me:hunter2@", 1) + "/x.git?token=abc"
	nested := s.repository("nested.git")
	inNested := nested.commit(nil, sub{name: "inner", path: "in/ner", url: s.url + "/moved.git", commit: good})

	for name, test := range map[string]struct {
		sub             sub
		want            git.SubmoduleError
		text            string
		fromThisMachine bool // the repository is on this machine, and the error is the same
	}{
		"the repository was moved": {
			sub{name: "money", path: "money", url: "../moved.git", commit: good},
			git.SubmoduleError{Name: "money", Path: "money", URL: s.url + "/moved.git"},
			"submodule money of " + s.url + "/moved.git: git fetch: repository '" + s.url + "/moved.git/' not found", false,
		},
		"its server cannot be reached": {
			sub{name: "money", path: "libs/money", url: gone, commit: good},
			git.SubmoduleError{Name: "money", Path: "libs/money", URL: strings.Replace(closed.URL, "http://", "http://REDACTED@", 1) + "/x.git?REDACTED"},
			"submodule money in libs/money of http://REDACTED@", true,
		},
		"its commit is gone": {
			sub{name: "money", path: "money", url: s.url + "/money.git", commit: lost},
			git.SubmoduleError{Name: "money", Path: "money", URL: s.url + "/money.git"},
			"submodule money of " + s.url + "/money.git: no branch or tag contains this commit", true,
		},
		"it is in no .gitmodules": {
			sub{path: "libs/money", commit: good},
			git.SubmoduleError{Path: "libs/money"},
			"submodule libs/money: there is no entry for it in .gitmodules", true,
		},
		"its URL is empty": {
			sub{name: "money", path: "money", url: `""`, commit: good},
			git.SubmoduleError{Name: "money", Path: "money"},
			"submodule money: it has no URL in .gitmodules", true,
		},
		"nested": {
			sub{name: "nested", path: "a/nested", url: s.url + "/nested.git", commit: inNested},
			git.SubmoduleError{Name: "inner", Path: "a/nested/in/ner", URL: s.url + "/moved.git"},
			"submodule inner in a/nested/in/ner of " + s.url + "/moved.git: git fetch: ", true,
		},
		"it is a directory of this machine": {
			sub{name: "money", path: "money", url: filepath.Join(s.root, "money.git"), commit: good},
			git.SubmoduleError{Name: "money", Path: "money", URL: filepath.Join(s.root, "money.git")},
			"submodule money of " + filepath.Join(s.root, "money.git") + ": its URL in .gitmodules is a directory of the machine", false,
		},
		"it is a file URL": {
			sub{name: "money", path: "money", url: "file://" + filepath.Join(s.root, "money.git"), commit: good},
			git.SubmoduleError{Name: "money", Path: "money", URL: "file://" + filepath.Join(s.root, "money.git")},
			"submodule money of file://" + filepath.Join(s.root, "money.git") + ": its URL in .gitmodules is a directory of the machine", false,
		},
		"it is a command": {
			sub{name: "money", path: "money", url: "ext::touch x", commit: good},
			git.SubmoduleError{Name: "money", Path: "money", URL: "ext::touch x"},
			"submodule money of ext::touch x: git fetch: transport 'ext' not allowed", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			shop := s.repository("shop-" + strings.ReplaceAll(name, " ", "-") + ".git")
			commit := shop.commit(nil, test.sub)
			urls := []string{shop.url}
			if test.fromThisMachine {
				urls = append(urls, filepath.Join(s.root, shop.name))
			}
			for _, url := range urls {
				_, _, err := s.fetch(url, commit)
				var got *git.SubmoduleError
				if !errors.As(err, &got) || !strings.HasPrefix(err.Error(), test.text) {
					t.Fatalf("from %s: %v\nwant %s", url, err, test.text)
				}
				if got.Name != test.want.Name || got.Path != test.want.Path || got.URL != test.want.URL {
					t.Errorf("from %s: %+v\nwant %+v", url, got, test.want)
				}
				if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "abc") && test.sub.url == gone {
					t.Errorf("the error has a password: %v", err)
				}
			}
		})
	}
}

// TestLocal: what names a directory of this machine is decided as git does.
func TestLocal(t *testing.T) {
	for url, want := range map[string]bool{
		"/srv/x.git": true, "../x": true, "x": true, "file:///srv/x": true, "./a:b": true, "a/b:c": true,
		"https://host/x": false, "ssh://host/x": false, "git@host:x": false, "host:x/y": false, "ext::sh -c x": false,
	} {
		if got := git.Local(url); got != want {
			t.Errorf("Local(%q) = %v", url, got)
		}
	}
}
