package build_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/build"
)

// identify returns the identity of spec in the workspace.
func identify(t testing.TB, dir string, s plan.BuildSpec) plan.Digest {
	t.Helper()
	id, err := build.New(build.Options{Dir: dir}).Identify(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// app is a context with one file of each kind.
func app() files {
	return files{
		"web/Dockerfile":     "FROM scratch\nCOPY . /\n",
		"web/main.txt":       "main",
		"web/bin/start*":     "#!/bin/sh\n",
		"web/link":           "-> main.txt",
		"web/docs/readme.md": "docs",
		"web/.dockerignore":  "docs\n*.log\n!keep.log\n",
		"web/keep.log":       "kept",
	}
}

// TestIdentity tests what changes the identity of an image, and what does not (I1).
func TestIdentity(t *testing.T) {
	base := identify(t, workspace(t, app()), spec("web"))
	for _, test := range []struct {
		name  string
		files files // replaces or adds files of app; "" removes one
		spec  func(*plan.BuildSpec)
		after func(dir string) error
		same  bool
	}{
		{name: "nothing", same: true},
		{name: "the time of a file", same: true, after: func(dir string) error {
			return os.Chtimes(filepath.Join(dir, "web/main.txt"), time.Unix(1, 0), time.Unix(1, 0))
		}},
		{name: "rights of the group", same: true, after: func(dir string) error {
			return os.Chmod(filepath.Join(dir, "web/main.txt"), 0o664)
		}},
		{name: "rights of a directory", same: true, after: func(dir string) error {
			return os.Chmod(filepath.Join(dir, "web/bin"), 0o700)
		}},
		{name: "where the workspace is", same: true, spec: func(s *plan.BuildSpec) { s.Source.Path = "a/b/web" }, after: func(dir string) error {
			if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
				return err
			}
			return os.Rename(filepath.Join(dir, "web"), filepath.Join(dir, "a/b/web"))
		}},
		{name: "the name of the directory", same: true, spec: func(s *plan.BuildSpec) { s.Source.Path = "shop/web" }, after: func(dir string) error {
			if err := os.Mkdir(filepath.Join(dir, "shop"), 0o755); err != nil {
				return err
			}
			return os.Rename(filepath.Join(dir, "web"), filepath.Join(dir, "shop/web"))
		}},
		{name: "a file that is ignored", same: true, files: files{"web/docs/readme.md": "new", "web/a.log": "noise"}},
		{name: "who declares it", same: true, spec: func(s *plan.BuildSpec) { s.ID, s.Pos = "api", plan.Pos{} }},
		{name: "a socket", same: true, after: func(dir string) error { return mkfifo(filepath.Join(dir, "web/pipe")) }},
		{name: "what the Dockerfile is called", same: true, spec: func(s *plan.BuildSpec) { s.Dockerfile = "../build.docker" },
			files: files{"build.docker": app()["web/Dockerfile"]}},
		{name: "a context that is a link", same: true, spec: func(s *plan.BuildSpec) { s.Source.Path = "other" }, after: func(dir string) error {
			return os.Symlink("web", filepath.Join(dir, "other"))
		}},
		{name: "rights of others to execute a file", same: true, after: func(dir string) error { return os.Chmod(filepath.Join(dir, "web/bin/start"), 0o700) }},
		{name: "the time of a directory", same: true, after: func(dir string) error {
			return os.Chtimes(filepath.Join(dir, "web/docs"), time.Unix(1, 0), time.Unix(1, 0))
		}},
		{name: "the owner of a file", same: true, after: func(dir string) error {
			if os.Getuid() != 0 {
				return nil
			}
			return os.Lchown(filepath.Join(dir, "web/main.txt"), 1234, 1234)
		}},
		{name: "a second name of a file outside of the context", same: true, after: func(dir string) error {
			return os.Link(filepath.Join(dir, "web/main.txt"), filepath.Join(dir, "main.txt"))
		}},
		{name: "a file that is written again with the same content", same: true, after: func(dir string) error {
			file := filepath.Join(dir, "web/main.txt")
			return errors.Join(os.Remove(file), os.WriteFile(file, []byte("main"), 0o644))
		}},
		{name: "files beside the context", same: true, files: files{"other/x": "x", ".dockerignore": "web\n"}},
		{name: "the platform of the builder, by name", same: true, spec: func(s *plan.BuildSpec) { s.Platforms = []string{"linux/" + runtime.GOARCH} }},
		{name: "arguments that are none", same: true, spec: func(s *plan.BuildSpec) { s.Args = map[string]string{} }},
		{name: "the value of no argument", spec: func(s *plan.BuildSpec) { s.Args = map[string]string{"A": ""} }},
		{name: "a second name of a file", after: func(dir string) error {
			return os.Link(filepath.Join(dir, "web/main.txt"), filepath.Join(dir, "web/second.txt"))
		}},
		{name: "an exception below a directory that is ignored", files: files{"web/.dockerignore": "docs\n*.log\n!keep.log\n!docs/readme.md\n"}},
		{name: "the order of rules without an effect, because the file is content, too", files: files{"web/.dockerignore": "*.log\n!keep.log\ndocs\n"}},
		{name: "two platforms", spec: func(s *plan.BuildSpec) { s.Platforms = []string{"linux/amd64", "linux/arm64"} }},
		{name: "the key of a secret", spec: func(s *plan.BuildSpec) { s.Secrets = []plan.SecretRef{{Name: "token", Key: "other"}} }},
		{name: "a link that leads nowhere", files: files{"web/link": "-> nowhere"}},
		{name: "a file", files: files{"web/main.txt": "MAIN"}},
		{name: "a file with the time and the size of before", files: files{"web/main.txt": "niam"}, after: func(dir string) error {
			return os.Chtimes(filepath.Join(dir, "web/main.txt"), time.Unix(1, 0), time.Unix(1, 0))
		}},
		{name: "a file's name", files: files{"web/main.txt": "", "web/other.txt": "main"}},
		{name: "a new file", files: files{"web/new": "x"}},
		{name: "an empty folder", after: func(dir string) error { return os.Mkdir(filepath.Join(dir, "web/empty"), 0o755) }},
		{name: "a file that is kept though others like it are ignored", files: files{"web/keep.log": "new"}},
		{name: "whether a file can be executed", after: func(dir string) error { return os.Chmod(filepath.Join(dir, "web/bin/start"), 0o644) }},
		{name: "where a link points to", files: files{"web/link": "-> bin/start"}},
		{name: "a link that becomes a file", files: files{"web/link": "main.txt"}},
		{name: "the Dockerfile", files: files{"web/Dockerfile": "FROM scratch\nCOPY . /x\n"}},
		{name: "the frontend", files: files{"web/Dockerfile": "# syntax=docker/dockerfile:1\nFROM scratch\nCOPY . /\n"}},
		{name: "the order of what is ignored and kept", files: files{"web/.dockerignore": "docs\n!keep.log\n*.log\n"}},
		{name: "what is ignored", files: files{"web/.dockerignore": "docs\n"}},
		{name: "an ignore file of the Dockerfile's own", files: files{"web/Dockerfile.dockerignore": "*.txt\n"}},
		{name: "an argument", spec: func(s *plan.BuildSpec) { s.Args = map[string]string{"A": "1"} }},
		{name: "a base", spec: func(s *plan.BuildSpec) { s.Bases = map[string]plan.Base{"BASE": {Identity: "sha256:1"}} }},
		{name: "the target", spec: func(s *plan.BuildSpec) { s.Target = "debug" }},
		{name: "the platform", spec: func(s *plan.BuildSpec) { s.Platforms = []string{"linux/s390x"} }},
		{name: "a label", spec: func(s *plan.BuildSpec) { s.Labels = map[string]string{"a": "b"} }},
		{name: "a secret that is given", spec: func(s *plan.BuildSpec) { s.Secrets = []plan.SecretRef{{Name: "token"}} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := workspace(t, app())
			for name := range test.files {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				if test.files[name] == "" {
					delete(test.files, name)
				}
			}
			test.files.write(t, dir)
			if test.after != nil {
				if err := test.after(dir); err != nil {
					t.Fatal(err)
				}
			}
			s := spec("web")
			if test.spec != nil {
				test.spec(&s)
			}
			if got := identify(t, dir, s); (got == base) != test.same {
				t.Errorf("with %s changed the identity is the same: %v, want %v", test.name, got == base, test.same)
			}
		})
	}
}

// TestIdentityPairs compares two specifications of one context with each other.
func TestIdentityPairs(t *testing.T) {
	dir := workspace(t, files{
		"web/Dockerfile": "FROM scratch\nARG USED\nLABEL a=$USED\nCOPY . /\n", "web/a.txt": "a", "web/.dockerignore": ".dockerignore\n",
		"beside/Dockerfile": "FROM scratch\n", "beside/.dockerignore": "*.txt\n", "alone/Dockerfile": "FROM scratch\n",
		"own/a.txt": "a", "own/prod": "FROM scratch\nCOPY . /\n", "own/prod.dockerignore": "prod*\nnotes\n.dockerignore\n", "own/.dockerignore": "x\n", "own/notes": "1",
		"same/a.txt": "a", "same/prod": "FROM scratch\nCOPY . /\n", "same/prod.dockerignore": "notes\nprod*\n.dockerignore\n", "same/notes": "2",
	})
	with := func(path string, change func(*plan.BuildSpec)) plan.BuildSpec {
		s := spec(path)
		change(&s)
		return s
	}
	arg := func(name, value string) func(*plan.BuildSpec) {
		return func(s *plan.BuildSpec) { s.Args = map[string]string{name: value} }
	}
	secret := func(name, key string) func(*plan.BuildSpec) {
		return func(s *plan.BuildSpec) { s.Secrets = []plan.SecretRef{{Name: name, Key: key}} }
	}
	platforms := func(all ...string) func(*plan.BuildSpec) { return func(s *plan.BuildSpec) { s.Platforms = all } }
	prod := func(s *plan.BuildSpec) { s.Dockerfile = "prod" }
	for _, test := range []struct {
		name string
		a, b plan.BuildSpec
		same bool
	}{
		{"the value of an argument that is used", with("web", arg("USED", "1")), with("web", arg("USED", "2")), false},
		// The builder cannot know it before the build, so a change of it is a build, from the cache.
		{"the value of an argument that is not used", with("web", arg("UNUSED", "1")), with("web", arg("UNUSED", "2")), false},
		{"the name of a secret", with("web", secret("a", "")), with("web", secret("b", "")), false},
		{"the key of a secret", with("web", secret("a", "x")), with("web", secret("a", "y")), false},
		{"the same secret", with("web", secret("a", "x")), with("web", secret("a", "x")), true},
		{"the order of platforms", with("web", platforms("linux/amd64", "linux/arm64")), with("web", platforms("linux/arm64", "linux/amd64")), false},
		{"the target", with("web", func(s *plan.BuildSpec) { s.Target = "a" }), with("web", func(s *plan.BuildSpec) { s.Target = "b" }), false},
		// Of the ignore files, only that of the Dockerfile counts, and it is not content.
		{"a .dockerignore beside a Dockerfile that is outside of the context", with("web", func(s *plan.BuildSpec) { s.Dockerfile = "../beside/Dockerfile" }),
			with("web", func(s *plan.BuildSpec) { s.Dockerfile = "../alone/Dockerfile" }), true},
		{"the order of rules without an effect, and what they ignore", with("own", prod), with("same", prod), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if same := identify(t, dir, test.a) == identify(t, dir, test.b); same != test.same {
				t.Errorf("the identity is the same: %v, want %v", same, test.same)
			}
		})
	}
}

// TestIdentityOfSecretValue: the name of a secret counts, not its value.
func TestIdentityOfSecretValue(t *testing.T) {
	dir, s := workspace(t, app()), spec("web")
	s.Secrets = []plan.SecretRef{{Name: "token"}}
	var all []plan.Digest
	for _, value := range []string{"first-value", "second-value"} {
		id, err := build.New(build.Options{Dir: dir, Secrets: secrets{"token": value}}).Identify(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, id)
	}
	if all[0] != all[1] {
		t.Errorf("with another value of a secret the identity is %s, was %s", all[1], all[0])
	}
}

// TestIdentityArgument distinguishes one argument from two with the same concatenation.
func TestIdentityArgument(t *testing.T) {
	dir := workspace(t, app())
	a, b := spec("web"), spec("web")
	a.Args = map[string]string{"A": "1\",\"B\":\"2"}
	b.Args = map[string]string{"A": "1", "B": "2"}
	if identify(t, dir, a) == identify(t, dir, b) {
		t.Error("two builds with different arguments have one identity")
	}
}

// TestIndex checks that a cached digest is never used for another file.
func TestIndex(t *testing.T) {
	dir, cache := workspace(t, app()), t.TempDir()
	b := build.New(build.Options{Dir: dir, CacheDir: cache})
	file := filepath.Join(dir, "web/main.txt")
	old := time.Now().Add(-time.Hour)
	id := func() plan.Digest {
		t.Helper()
		id, err := b.Identify(t.Context(), spec("web"))
		if err != nil {
			t.Fatal(err)
		}
		if want := identify(t, dir, spec("web")); id != want {
			t.Fatalf("identity with an index = %s, without = %s", id, want)
		}
		return id
	}
	change := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		// The same size and time as before, as with "cp -p" and archives.
		if err := os.Chtimes(file, old, old); err != nil {
			t.Fatal(err)
		}
	}
	first := id()
	for i := range 50 { // faster than the clock resolution of some file systems
		change(fmt.Sprintf("%04d", i))
		if id() == first {
			t.Fatalf("change %d was not seen", i)
		}
	}
	old = time.Now().Add(time.Hour) // as on a file server whose clock is ahead
	for i := range 5 {
		change(fmt.Sprintf("%04d", i))
		if id() == first {
			t.Fatalf("change %d of a file with a time to come was not seen", i)
		}
	}
	change("main")
	if id() != first {
		t.Error("the same content has another identity")
	}
	old = time.Now().Add(-time.Hour)
	change("main")
	damage := func(how string, data func(old []byte) []byte) {
		t.Helper()
		for _, path := range indexes(t, cache) {
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data(old), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if id() != first {
			t.Errorf("with an index that is %s the identity is another", how)
		}
	}
	settle(t, filepath.Join(dir, "web"))
	if id(); len(indexes(t, cache)) == 0 {
		t.Fatal("there is no index")
	}
	damage("cut", func(old []byte) []byte { return old[:len(old)/2] })
	damage("empty", func([]byte) []byte { return nil })
	damage("noise", func(old []byte) []byte { return []byte(strings.Repeat("noise", 100)) })
	damage("changed", func(old []byte) []byte { old[len(old)/2] ^= 1; return old })
	if err := os.RemoveAll(cache); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cache, nil, 0o600); err != nil { // so that nothing can be cached
		t.Fatal(err)
	}
	if id() != first {
		t.Error("without a place for the index the identity is another")
	}
}

// TestIndexIsUsed checks that an unchanged file is not read again.
func TestIndexIsUsed(t *testing.T) {
	dir, cache := workspace(t, app()), t.TempDir()
	settle(t, filepath.Join(dir, "web"))
	first, err := build.New(build.Options{Dir: dir, CacheDir: cache}).Identify(t.Context(), spec("web"))
	if err != nil {
		t.Fatal(err)
	}
	// If other digests in the index result in another identity, the index was used.
	for _, path := range indexes(t, cache) {
		flipSums(t, path)
	}
	second, err := build.New(build.Options{Dir: dir, CacheDir: cache}).Identify(t.Context(), spec("web"))
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Error("files that did not change are read again")
	}
}

func TestIdentifyAtOnce(t *testing.T) {
	dir, cache := workspace(t, app()), t.TempDir()
	want := identify(t, dir, spec("web"))
	var wg sync.WaitGroup
	for range 4 {
		b := build.New(build.Options{Dir: dir, CacheDir: cache}) // like another process
		for range 8 {
			wg.Go(func() {
				if got, err := b.Identify(t.Context(), spec("web")); err != nil || got != want {
					t.Errorf("Identify = %s, %v, want %s", got, err, want)
				}
			})
		}
	}
	wg.Wait()
}

// TestIdentifyWrong tests mistakes that are found before the build starts.
func TestIdentifyWrong(t *testing.T) {
	const at = "Pipelinefile:3:1: "
	for _, test := range []struct {
		name  string
		files files
		spec  func(*plan.BuildSpec)
		want  string
	}{
		{"no Dockerfile", files{"web/x": "x"}, nil,
			at + "there is no Dockerfile web/Dockerfile: write it, or name another with build = dockerfile(file = …)"},
		{"a folder", files{"web/Dockerfile/x": "x"}, nil,
			at + "the Dockerfile web/Dockerfile is a directory: name the file with build = dockerfile(file = …)"},
		{"no context", files{"web/Dockerfile": "FROM scratch"}, func(s *plan.BuildSpec) { s.Context = "src" },
			at + "there is no directory web/src, the build context: name another with source = local(…) or build = dockerfile(context = …)"},
		{"a context that is a file", files{"web/Dockerfile": "FROM scratch", "web/src": "x"}, func(s *plan.BuildSpec) { s.Context = "src" },
			at + "the build context web/src is not a directory: name another with source = local(…) or build = dockerfile(context = …)"},
		{"a context that leads out", files{"web/Dockerfile": "FROM scratch", "web/src": "-> /etc"}, func(s *plan.BuildSpec) { s.Context = "src" },
			at + "the build context web/src leads out of the workspace through a symbolic link: name another with source = local(…) or build = dockerfile(context = …)"},
		{"a Dockerfile that leads out", files{"web/Dockerfile": "-> /etc/passwd"}, nil,
			at + "the Dockerfile web/Dockerfile leads out of the workspace through a symbolic link"},
		{"a wrong .dockerignore", files{"web/Dockerfile": "FROM scratch", "web/.dockerignore": "a\n[\n"}, nil,
			at + "web/.dockerignore: \"[\" is not a valid pattern: syntax error in pattern"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := spec("web")
			if test.spec != nil {
				test.spec(&s)
			}
			_, err := build.New(build.Options{Dir: workspace(t, test.files)}).Identify(t.Context(), s)
			if err == nil || err.Error() != test.want {
				t.Errorf("Identify = %v\nwant %s", err, test.want)
			}
		})
	}
}

// settle makes the files below dir old, as they are in most runs, because files that have
// just changed are not cached.
func settle(t testing.TB, dir string) {
	t.Helper()
	// The change time cannot be set, so wait.
	time.Sleep(150 * time.Millisecond)
	old := time.Now().Add(-time.Hour)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(150 * time.Millisecond)
}

func indexes(t testing.TB, cache string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(cache, "index", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// flipSums changes a digest in an index, and its checksum accordingly: the last byte of the
// last entry belongs to a digest.
func flipSums(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const magic = "pipe index 1\n"
	body := data[len(magic) : len(data)-sha256.Size]
	if len(body) == 0 {
		t.Fatal("nothing is remembered")
	}
	body[len(body)-1] ^= 1
	check := sha256.Sum256(body)
	copy(data[len(data)-sha256.Size:], check[:])
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkIdentify uses a context with 50 000 files.
func BenchmarkIdentify(b *testing.B) {
	dir := b.TempDir()
	f := files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"}
	for i := range 50_000 {
		f[fmt.Sprintf("web/src/%02d/%03d/file%05d.go", i%20, i%200, i)] = strings.Repeat(fmt.Sprintf("package main // %d\n", i), 200)
	}
	f.write(b, dir)
	settle(b, filepath.Join(dir, "web"))
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			if _, err := build.New(build.Options{Dir: dir}).Identify(b.Context(), spec("web")); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		cache := b.TempDir()
		for b.Loop() {
			if _, err := build.New(build.Options{Dir: dir, CacheDir: cache}).Identify(b.Context(), spec("web")); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestUnusedIgnore: a .dockerignore beside a Dockerfile that is elsewhere than the context does
// not apply, which is a warning of the build.
func TestUnusedIgnore(t *testing.T) {
	for _, test := range []struct {
		name  string
		files files
		file  string
		want  string // the file that is not used
	}{
		{"at the top", files{"web/Dockerfile": "FROM scratch\n", "web/.dockerignore": "x\n"}, "", ""},
		{"outside of the context", files{"Dockerfile": "FROM scratch\n", ".dockerignore": "x\n", "web/x": "x"}, "../Dockerfile", ".dockerignore"},
		{"below", files{"web/docker/Dockerfile": "FROM scratch\n", "web/docker/.dockerignore": "x\n"}, "docker/Dockerfile", "web/docker/.dockerignore"},
		{"with one of its own", files{"Dockerfile": "FROM scratch\n", ".dockerignore": "x\n", "Dockerfile.dockerignore": "y\n", "web/x": "x"}, "../Dockerfile", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := spec("web")
			if test.file != "" {
				s.Dockerfile = test.file
			}
			s.Secrets = []plan.SecretRef{{Name: "missing"}} // so that nothing is built
			var r record
			if _, err := build.New(build.Options{Dir: workspace(t, test.files)}).Build(t.Context(), s, "127.0.0.1:1/web:1", r.emit); err == nil {
				t.Fatal("Build without a secret succeeded")
			}
			want := ""
			if test.want != "" {
				want = test.want + " does not apply to the build of web: the Dockerfile is not at the top of the build context"
			}
			if got := r.text(); (want == "") != (got == "") || !strings.Contains(got, want) {
				t.Errorf("events:\n%s\nwant %q", got, want)
			}
		})
	}
}
