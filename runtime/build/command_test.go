package build_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// commandSpec is the build of the directory web of a workspace by a command.
func commandSpec(args ...string) plan.BuildSpec {
	s := spec("web")
	s.Dockerfile, s.Command = "", &plan.BuildCommand{Args: args}
	return s
}

// commandBuilder returns a builder for commands, which pushes what they write.
func commandBuilder(t testing.TB, dir string, addresses ...string) *build.Builder {
	t.Helper()
	return withOptions(t, pushingOptions(t, dir, addresses...))
}

// withOptions returns a builder that is closed after the test.
func withOptions(t testing.TB, o build.Options) *build.Builder {
	t.Helper()
	b := build.New(o)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// pushingOptions are the options of a builder that reads images and pushes those that it does not build itself.
func pushingOptions(t testing.TB, dir string, addresses ...string) build.Options {
	t.Helper()
	return build.Options{
		Dir: dir, Addresses: addresses, CacheDir: t.TempDir(), Environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere"},
		Pull: func(ctx context.Context, ref string) (*remote.Descriptor, error) {
			from, err := name.ParseReference(ref)
			if err != nil {
				return nil, err
			}
			return remote.Get(from, remote.WithContext(ctx))
		},
		Push: func(ctx context.Context, ref string, image remote.Taggable, _ runtime.Emit) (plan.Digest, error) {
			to, err := name.ParseReference(ref)
			if err != nil {
				return "", err
			}
			raw, err := image.RawManifest()
			if err != nil {
				return "", err
			}
			pusher, err := remote.NewPusher(remote.WithContext(ctx))
			if err != nil {
				return "", err
			}
			return plan.DigestOf(raw), pusher.Push(ctx, to, image)
		},
	}
}

// TestCommandBuilder runs the contract tests of all builders with commands.
func TestCommandBuilder(t *testing.T) {
	dir, host := workspace(t, files{}), images(t)
	sh := func(script string) func(*testing.T) plan.BuildSpec {
		return func(t *testing.T) plan.BuildSpec {
			s := commandSpec("/bin/sh", "-c", script)
			s.ID = runtimetest.Unique("source")
			s.Source.Path = s.ID
			files{s.ID + "/main.txt": s.ID}.write(t, dir)
			return s
		}
	}
	runtimetest.TestBuilder(t, runtimetest.BuilderTest{
		Builder:  commandBuilder(t, dir),
		Registry: testRegistry{host: host},
		Spec:     sh(os.Args[0] + " write-image layout"),
		Change: func(t *testing.T, s plan.BuildSpec) {
			files{s.Source.Path + "/main.txt": "changed"}.write(t, dir)
		},
		Broken: sh("echo it breaks here; exit 3"),
		Slow:   sh("sleep 600 & sleep 600"),
	})
}

// TestCommandGit tests a command that makes the image of a commit: it runs in a copy, so that what it
// writes does not change the checkout, and the image depends on the commit alone.
func TestCommandGit(t *testing.T) {
	repo, host := newRepository(t), images(t)
	files{"web/tool*": "#!/bin/sh\ncat main.txt; test -L link || exit 1; echo changed > main.txt; echo new > new.txt; exec \"$1\" write-image layout\n", "web/main.txt": "first\n"}.write(t, repo.dir)
	if err := os.Symlink("main.txt", filepath.Join(repo.dir, "web", "link")); err != nil {
		t.Fatal(err)
	}
	first := repo.commit(nil)
	second := repo.commit(files{"other": "x"})
	url := repo.serve("").url
	s := commandSpec("./tool", os.Args[0])
	s.Source.Git, s.Source.Ref = url, "main"
	b := commandBuilder(t, t.TempDir())
	id, err := b.Identify(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // the second time as if nothing had happened
		_, r := mustBuild(t, b, s, fmt.Sprintf("%s/web:%d", host, i))
		if text := r.text(); !strings.Contains(text, "first") || strings.Contains(text, "changed") {
			t.Errorf("the command has printed\n%s", text)
		}
	}
	s.Source.Ref = second
	if got, err := b.Identify(t.Context(), s); err != nil || got != id {
		t.Errorf("the identity of the commit is %s, that of the branch %s (%v)", got, id, err)
	}
	s.Source.Ref = first
	if got, err := b.Identify(t.Context(), s); err != nil || got == id {
		t.Errorf("the identity of another commit is the same (%v)", err)
	}
	s.Source.Path = "nope"
	if _, err := b.Build(t.Context(), s, host+"/web:3", func(runtime.Body) {}); err == nil || !strings.Contains(err.Error(), "there is no directory nope, the build context in "+first+" of "+url) {
		t.Errorf("Build = %v", err)
	}
}

// TestCommandPrintsPassword: passwords in URLs that a program prints are redacted, also in errors.
func TestCommandPrintsPassword(t *testing.T) {
	dir, host := workspace(t, files{"web/main.txt": "main"}), images(t)
	var events []string
	_, err := commandBuilder(t, dir).Build(t.Context(), commandSpec("/bin/sh", "-c", "cat main.txt; echo fetch https://me:hunter2@example.com/x; exit 1"), host+"/web:1", func(e runtime.Body) {
		events = append(events, fmt.Sprintf("%+v", e))
	})
	var wrong *runtime.BuildError
	if !errors.As(err, &wrong) || !strings.Contains(strings.Join(wrong.Log, "\n"), "fetch https://REDACTED@example.com/x") {
		t.Fatalf("Build = %v", err)
	}
	if text := strings.Join(append(append(events, wrong.Log...), err.Error()), "\n"); strings.Contains(text, "hunter2") {
		t.Errorf("the password is in\n%s", text)
	}
}

// TestCommandEnvironment tests what a command gets: the variables of the process that builds are not
// among it.
func TestCommandEnvironment(t *testing.T) {
	t.Setenv("TOKEN", "secret-of-pipe")
	dir, host := workspace(t, files{"web/tool*": "#!/bin/sh\nenv; pwd; echo \"args $*\"\nexit 1\n"}), images(t)
	s := commandSpec("./tool", "--to=$(PIPE_OUTPUT)", "$(PIPE_PLATFORMS)", "$(HOME)", "$PIPE_OUTPUT")
	s.Command.Env = map[string]string{"MODE": "release", "HOME": "/home/of-the-build"}
	s.Platforms = []string{"linux/amd64", "linux/arm64"}
	_, err := commandBuilder(t, dir).Build(t.Context(), s, host+"/web:1", func(runtime.Body) {})
	var wrong *runtime.BuildError
	if !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	log := strings.Join(wrong.Log, "\n")
	for _, want := range []string{"MODE=release", "HOME=/home/of-the-build", "PATH=", "PIPE_PLATFORMS=linux/amd64,linux/arm64", "PIPE_OUTPUT=/", "/web\n", "linux/amd64,linux/arm64 $(HOME) $PIPE_OUTPUT"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	if strings.Contains(log, "TOKEN") || strings.Contains(log, "--to=$(PIPE_OUTPUT)") || strings.Contains(log, "/nowhere") {
		t.Errorf("the environment is\n%s", log)
	}
	if wrong.Err.Error() != "exit status 1" {
		t.Errorf("the error is %v", wrong.Err)
	}
}

// TestCommandProgram tests programs that cannot be run.
func TestCommandProgram(t *testing.T) {
	dir, host := workspace(t, files{"web/plain": "x", "web/no-interpreter*": "echo x", "web/other-interpreter*": "#!/no/such\n"}), images(t)
	for program, want := range map[string]string{
		"./no-interpreter":       "./no-interpreter is not a program for this machine: the first line of a script names its interpreter",
		"./other-interpreter":    "the interpreter of ./other-interpreter does not exist",
		"./absent":               "there is no file ./absent",
		"./plain":                "./plain cannot be executed: make it executable with chmod +x",
		"pipe-test-no-such-tool": "the program pipe-test-no-such-tool is not in the PATH",
	} {
		_, err := commandBuilder(t, dir).Build(t.Context(), commandSpec(program), host+"/web:1", func(runtime.Body) {})
		var wrong *runtime.BuildError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("Build with %s = %v, want %q", program, err, want)
		}
	}
}

// TestCommandInputs tests the warning about inputs= that match no file.
func TestCommandInputs(t *testing.T) {
	dir, host := workspace(t, files{"web/main.txt": "main"}), images(t)
	for pattern, want := range map[string]string{
		"main.*": "",
		"src/**": "no file matches the inputs of the image of web, which is not built again when a file changes",
	} {
		s, got := writes("layout"), ""
		s.Command.Inputs = []string{pattern}
		_, err := commandBuilder(t, dir).Build(t.Context(), s, host+"/web:1", func(e runtime.Body) {
			if w, ok := e.(runtime.Warned); ok {
				got += w.Diagnostic.Message
			}
		})
		if err != nil || got != want {
			t.Errorf("Build with %s = %v, with the warning %q", pattern, err, got)
		}
	}
}

// TestCommandChanged tests a command that changes what its image depends on.
func TestCommandChanged(t *testing.T) {
	dir, host := workspace(t, files{"web/main.txt": "main", "web/other.txt": ""}), images(t)
	b := commandBuilder(t, dir)
	_, err := b.Build(t.Context(), writes("input"), host+"/web:1", func(runtime.Body) {})
	if !errors.Is(err, runtime.ErrConflict) || !strings.Contains(err.Error(), "main.txt changed while the program ran") {
		t.Errorf("Build = %v", err)
	}
	s := writes("input")
	s.Command.Inputs = []string{"other.txt"}
	mustBuild(t, b, s, host+"/web:1")
}

// An identityChange is a change of a build or of its files.
type identityChange struct {
	what   string
	change func(*plan.BuildSpec)
	files  files
	same   bool // the identity of the image is the same
}

// compareIdentities compares the identities of changed builds with that of the unchanged one, which
// it returns.
func compareIdentities(t *testing.T, identity func(change func(*plan.BuildSpec), add files) plan.Digest, changes []identityChange) plan.Digest {
	t.Helper()
	base := identity(nil, nil)
	for _, c := range changes {
		if got := identity(c.change, c.files); (got == base) != c.same {
			t.Errorf("%s: same = %v, want %v", c.what, got == base, c.same)
		}
	}
	return base
}

// TestCommandIdentity tests what changes the identity of an image that a command makes.
func TestCommandIdentity(t *testing.T) {
	content := files{"web/src/a.go": "a", "web/src/gen/b.go": "b", "web/readme": "r", "web/.dockerignore": "readme\n"}
	make := func(change func(*plan.BuildSpec), add files) plan.Digest {
		dir := workspace(t, content)
		add.write(t, dir)
		s := commandSpec("make", "image")
		if change != nil {
			change(&s)
		}
		return identify(t, dir, s)
	}
	inputs := func(patterns ...string) func(*plan.BuildSpec) {
		return func(s *plan.BuildSpec) { s.Command.Inputs = patterns }
	}
	base := compareIdentities(t, make, []identityChange{
		{what: "nothing", same: true},
		{what: "an ignored file", files: files{"web/readme": "new"}, same: true},
		{what: "a file", files: files{"web/src/a.go": "new"}},
		{what: "the command", change: func(s *plan.BuildSpec) { s.Command.Args = []string{"make", "other"} }},
		{what: "how arguments are split", change: func(s *plan.BuildSpec) { s.Command.Args = []string{"make image"} }},
		{what: "a variable", change: func(s *plan.BuildSpec) { s.Command.Env = map[string]string{"A": ""} }},
		{what: "the name of one of several images", change: func(s *plan.BuildSpec) { s.Command.Image = "web:1" }},
		{what: "the output", change: func(s *plan.BuildSpec) { s.Command.Output = "out" }},
		{what: "the platforms", change: func(s *plan.BuildSpec) { s.Platforms = []string{"linux/riscv64"} }},
	})
	if got := make(inputs("**"), nil); got == base {
		t.Errorf("with inputs, .dockerignore applies")
	}
	some := make(inputs("src/**", "!src/gen"), nil)
	for what, test := range map[string]struct {
		files files
		same  bool
	}{
		"a file that is left out": {files{"web/src/gen/b.go": "new", "web/readme": "new", "web/.dockerignore": ""}, true},
		"a file":                  {files{"web/src/a.go": "new"}, false},
		"a new file":              {files{"web/src/deep/c.go": ""}, false},
	} {
		if got := make(inputs("src/**", "!src/gen"), test.files); (got == some) != test.same {
			t.Errorf("inputs, %s: same = %v, want %v", what, got == some, test.same)
		}
	}
}

// running reports whether a process is running whose arguments contain the word.
func running(t *testing.T, word string) bool {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		t.Fatal("this system has no /proc, which lists the processes: the test needs Linux")
	}
	for _, file := range all {
		data, err := os.ReadFile(file)
		if err == nil && bytes.Contains(data, []byte(word)) {
			return true
		}
	}
	return false
}

// gone waits until no such process is running.
func gone(t *testing.T, word string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); running(t, word); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("a process with %s still runs", word)
		}
	}
}

// TestCommandEnds tests that nothing that a command has started is left.
func TestCommandEnds(t *testing.T) {
	word := func() string { return fmt.Sprintf("6%d", time.Now().UnixNano()) } // seconds of sleep
	dir, host := workspace(t, files{"web/main.txt": "main"}), images(t)
	b := commandBuilder(t, dir)
	t.Run("at its end", func(t *testing.T) {
		w := word()
		mustBuild(t, b, commandSpec("/bin/sh", "-c", "sleep "+w+" & "+os.Args[0]+" write-image layout"), host+"/web:1")
		gone(t, w)
	})
	t.Run("when it is cancelled", func(t *testing.T) {
		w := word()
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("interrupted")
		_, err := b.Build(ctx, commandSpec("/bin/sh", "-c", "sleep "+w+" & echo started; wait"), host+"/web:2", func(e runtime.Body) {
			if l, ok := e.(runtime.Log); ok && l.Text == "started" {
				cancel(why)
			}
		})
		if !errors.Is(err, why) {
			t.Errorf("Build = %v", err)
		}
		gone(t, w)
	})
	t.Run("when the process that builds is killed", func(t *testing.T) {
		w, temp := word(), t.TempDir()
		builder := exec.Command(os.Args[0], "-test.run=^TestCommandKilled$")
		builder.Env = append(os.Environ(), "PIPE_TEST_WORD="+w, "TMPDIR="+temp)
		out, err := builder.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := builder.Start(); err != nil {
			t.Fatal(err)
		}
		for seen := ""; !strings.Contains(seen, "started"); {
			buf := make([]byte, 1000)
			n, err := out.Read(buf)
			if seen += string(buf[:n]); err != nil {
				t.Fatalf("the builder ended: %s", seen)
			}
		}
		if !running(t, w) {
			t.Error("the command does not run")
		}
		_ = builder.Process.Kill()
		_ = builder.Wait()
		gone(t, w)
		left := func() int {
			all, err := filepath.Glob(filepath.Join(temp, "pipe-build-[0-9]*"))
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		if n := left(); n != 2 { // a directory and its lock
			t.Errorf("%d files are left", n)
		}
		t.Setenv("TMPDIR", temp)
		mustBuild(t, commandBuilder(t, dir), commandSpec("/bin/sh", "-c", os.Args[0]+" write-image layout"), host+"/web:3")
		if n := left(); n != 0 {
			t.Errorf("%d files are left by the next build", n)
		}
	})
}

// TestCommandKilled is a process that TestCommandEnds kills.
func TestCommandKilled(t *testing.T) {
	w := os.Getenv("PIPE_TEST_WORD")
	if w == "" {
		return
	}
	dir := workspace(t, files{"web/main.txt": "main"})
	_, err := commandBuilder(t, dir).Build(t.Context(), commandSpec("/bin/sh", "-c", "(sleep "+w+" & wait) & echo started; wait"), "localhost:1/web:1", func(e runtime.Body) {
		if l, ok := e.(runtime.Log); ok {
			fmt.Println(l.Text)
		}
	})
	t.Error(err)
}
