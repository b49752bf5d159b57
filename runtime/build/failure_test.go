package build_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
)

// fails runs a build that must fail, and returns the error.
func fails(t testing.TB, b *build.Builder, s plan.BuildSpec, ref string) (*record, error) {
	t.Helper()
	var r record
	digest, err := b.Build(t.Context(), s, ref, r.emit)
	if err == nil {
		t.Fatalf("Build = %s, want an error", digest)
	}
	return &r, err
}

// foreign is the header of a program for s390x.
const foreign = "\x7fELF\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x16\x00\x00\x00\x01"

// TestBuildWrong tests builds with mistakes in their source.
func TestBuildWrong(t *testing.T) {
	host := images(t)
	for _, test := range []struct {
		name       string
		dockerfile string
		spec       func(*plan.BuildSpec)
		want       string // of the error; HOST is the registry
		line       int
		log        string
	}{
		{name: "a command that fails", dockerfile: shell + "\n# why\nRUN echo working; \\\n    echo broken; exit 7\n",
			want: "RUN echo working; echo broken; exit 7: exit status 7", line: 6, log: "working,broken"},
		{name: "a command that is not there", dockerfile: shell + "RUN nothere\n",
			want: "RUN nothere: exit status 127: a command was not found in the image", line: 4, log: "/bin/sh: nothere: not found"},
		{name: "a program of another platform", dockerfile: "FROM scratch\nCOPY other /bin/sh\nRUN x\n", line: 3, want: "RUN x: its program is for another platform than that of the builder: " +
			"use images for that platform, install QEMU for the other one where the builder runs, or build there with a builder of that platform"},
		{name: "no shell", dockerfile: "FROM scratch\nRUN x\n", line: 2,
			want: "RUN x: the image has no shell, /bin/sh: use a base image that has one, or COPY what was made in another stage"},
		{name: "an instruction that there is not", dockerfile: "FROM scratch\nCOPPY a b\n",
			want: "COPPY a b: unknown instruction: COPPY (did you mean COPY?)", line: 2},
		{name: "no instruction", dockerfile: "# nothing\n", want: "file with no instructions", line: 1},
		{name: "a base image that there is not", dockerfile: "# syntax=docker/dockerfile:1\nFROM scratch AS a\nFROM HOST/no/such:1\n",
			want: "FROM HOST/no/such:1: there is no image HOST/no/such:1: check its name and tag", line: 3},
		{name: "a file that there is not", dockerfile: "FROM scratch\nCOPY nothere b\n",
			want: "COPY nothere b: /nothere is not there: it is not in the build context, or a line of .dockerignore leaves it out", line: 2},
		{name: "a target that there is not", dockerfile: "FROM scratch AS a\nCOPY x b\n",
			spec: func(s *plan.BuildSpec) { s.Target = "prod" }, want: `the Dockerfile has no stage "prod", which target= of dockerfile() names`},
		{name: "a mount that there is not", dockerfile: "FROM scratch\nRUN --mount=type=foo x\n", line: 2, want: `RUN --mount=type=foo x: unsupported mount type "foo"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := func(text string) string { return strings.ReplaceAll(text, "HOST", host) }
			dir := workspace(t, files{"web/docker/Dockerfile": in(test.dockerfile), "web/busybox": "", "web/x": "x", "web/other*": foreign})
			s := spec("web")
			s.Dockerfile = "docker/Dockerfile"
			if test.spec != nil {
				test.spec(&s)
			}
			_, err := fails(t, newBuilder(t, dir), s, host+"/web:1")
			var wrong *runtime.BuildError
			if !errors.As(err, &wrong) {
				t.Fatalf("Build = %v, want a BuildError", err)
			}
			if wrong.Error() != in(test.want) {
				t.Errorf("Build = %v\nwant %s", wrong, in(test.want))
			}
			if want := (plan.Pos{File: "web/docker/Dockerfile", Line: test.line}); wrong.Pos != want {
				t.Errorf("the error is at %v, want %v", wrong.Pos, want)
			}
			if got := strings.Join(wrong.Log, ","); got != test.log && test.log != "" {
				t.Errorf("the last lines are %q, want %q", got, test.log)
			}
		})
	}
}

// TestBuildLogTail checks that only the last lines of a long output are shown.
func TestBuildLogTail(t *testing.T) {
	dir := workspace(t, files{"web/Dockerfile": shell + "RUN seq 1 500; printf 'no end'; exit 1\n", "web/busybox": ""})
	r, err := fails(t, newBuilder(t, dir), spec("web"), images(t)+"/web:1")
	var wrong *runtime.BuildError
	if !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	if n := len(wrong.Log); n != 30 || wrong.Log[n-1] != "no end" || wrong.Log[n-2] != "500" {
		t.Errorf("the last lines are %q", wrong.Log)
	}
	if got := len(r.lines()); got != 501 {
		t.Errorf("%d lines were told, 501 printed", got)
	}
}

// TestBuildSecret checks that a secret reaches only the command that mounts it (D4).
func TestBuildSecret(t *testing.T) {
	const inEach = "hush-hush" // generated IDs contain no hyphen
	const value = "the-hush-hush-of-two-lines\nand-the-second-hush-hush"
	addr, host := buildkit(t), images(t)
	dir := workspace(t, files{
		"web/busybox": "",
		"web/Dockerfile": shell + `RUN --mount=type=secret,id=token cat /run/secrets/token; wc -c </run/secrets/token >/size
RUN --mount=type=secret,id=token,env=TOKEN test -n "$TOKEN"; echo "is $TOKEN" >&2
`,
		"bad/busybox":    "",
		"bad/Dockerfile": shell + "RUN --mount=type=secret,id=token cat /run/secrets/token; exit 3\n",
	})
	b := build.New(build.Options{Dir: dir, Addresses: []string{addr}, CacheDir: t.TempDir(), Secrets: secrets{"token": value}})
	t.Cleanup(func() { b.Close() })
	s := spec("web")
	s.Secrets = []plan.SecretRef{{Name: "token"}}
	_, r := mustBuild(t, b, s, host+"/web:1")
	image := pull(t, host+"/web:1")
	if got := strings.TrimSpace(readImage(t, image, "size")); got != strconv.Itoa(len(value)) {
		t.Errorf("the command saw %s bytes of secret, want %d", got, len(value))
	}
	if !strings.Contains(r.text(), "REDACTED") {
		t.Errorf("the commands have printed nothing:\n%s", r.text())
	}
	s.Source.Path = "bad"
	bad, err := fails(t, b, s, host+"/bad:1")
	var wrong *runtime.BuildError
	if !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	manifest, e := image.RawManifest()
	if e != nil {
		t.Fatal(e)
	}
	config, e := image.RawConfigFile()
	if e != nil {
		t.Fatal(e)
	}
	for what, text := range map[string]string{
		"the events": r.text() + bad.text(), "the error": err.Error() + strings.Join(wrong.Log, "\n"),
		"the image":        string(manifest) + string(config) + strings.Join(listImage(t, image), " "),
		"BuildKit's state": grep(t, filepath.Join(home, "buildkit"), inEach),
	} {
		if strings.Contains(text, inEach) {
			t.Errorf("%s has the secret:\n%s", what, text)
		}
	}
}

func TestBuildSecretWrong(t *testing.T) {
	addr := buildkit(t)
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	b := build.New(build.Options{Dir: dir, Addresses: []string{addr}, Secrets: secrets{}})
	t.Cleanup(func() { b.Close() })
	for want, refs := range map[string][]plan.SecretRef{
		"Pipelinefile:3:1: secret token of the build: secret token: not found: give its value with --secrets": {{Name: "token"}},
		"Pipelinefile:3:1: a credential of database db cannot be used in a build: it exists only in the environment's namespace": {
			{Service: "db", Key: "password"}},
	} {
		s := spec("web")
		s.Secrets = refs
		if _, err := fails(t, b, s, "127.0.0.1:1/web:1"); err.Error() != want {
			t.Errorf("Build = %v\nwant %s", err, want)
		}
	}
}

// TestPushRefused pushes to a registry that rejects the credentials.
func TestPushRefused(t *testing.T) {
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(refuse.Close)
	host := strings.TrimPrefix(refuse.URL, "http://")
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	_, err := fails(t, newBuilder(t, dir), spec("web"), host+"/web:1")
	want := regexp.MustCompile(`^push the image to ` + regexp.QuoteMeta(host) + `/web:1: .*: log in with 'docker login ` + regexp.QuoteMeta(host) + `'$`)
	if !want.MatchString(err.Error()) {
		t.Errorf("Build = %v\nwant %s", err, want)
	}
}

// TestPushAgain pushes to a registry that is temporarily unavailable.
func TestPushAgain(t *testing.T) {
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	ref := "127.0.0.1:1/web:1" // nothing listens there
	r, err := fails(t, newBuilder(t, dir), spec("web"), ref)
	want := "push the image to " + ref + ": registry 127.0.0.1:1 cannot be reached: dial tcp 127.0.0.1:1: connect: connection refused: check that it is running, and its address"
	if err.Error() != want {
		t.Errorf("Build = %v, want %s", err, want)
	}
	if advice, _ := runtime.AdviceOf(err); advice.Do != "run again when it can be reached" {
		t.Errorf("the advice is %+v", advice)
	}
	var again []int
	for _, e := range r.events {
		if e, ok := e.(runtime.Retried); ok {
			again = append(again, e.Again)
		}
	}
	if len(again) != 3 || again[2] != 3 {
		t.Errorf("it was tried again: %v, want three times", again)
	}
}

// TestUnreachable tests builders that do not answer.
func TestUnreachable(t *testing.T) {
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	s := spec("web")
	s.Platforms = []string{"linux/amd64"} // so that no builder is asked for its platform
	for _, test := range []struct{ addr, want string }{
		{"unix:///no/such.sock", "BuildKit at unix:///no/such.sock cannot be reached: dial unix /no/such.sock: connect: no such file or directory: " +
			"check that it is running, and its address"},
		{"tcp://127.0.0.1:1", "BuildKit at tcp://127.0.0.1:1 cannot be reached: dial tcp 127.0.0.1:1: connect: connection refused: " +
			"check that it is running, and its address"},
		{"somewhere", "BuildKit at somewhere cannot be reached: that is not an address: " +
			"an address is such as unix:///run/buildkit/buildkitd.sock, tcp://host:1234, ssh://user@host, docker-container://name, kube-pod://name, kube://namespace, docker://context"},
		{"http://x", "BuildKit at http://x cannot be reached: http:// is not known: an address is such as unix:///run/buildkit/buildkitd.sock, " +
			"tcp://host:1234, ssh://user@host, docker-container://name, kube-pod://name, kube://namespace, docker://context: " +
			"check that it is running, and its address"},
	} {
		b := build.New(build.Options{Dir: dir, Addresses: []string{test.addr}})
		_, err := fails(t, b, s, "127.0.0.1:1/web:1")
		var unreachable *build.UnreachableError
		if !errors.As(err, &unreachable) || err.Error() != test.want {
			t.Errorf("Build = %v\nwant %s", err, test.want)
		}
	}
	b := build.New(build.Options{Dir: dir, Start: func(context.Context) (string, error) { return "", errors.New("no runc") }})
	_, err := fails(t, b, s, "127.0.0.1:1/web:1")
	if got, want := err.Error(), "start the embedded BuildKit: no runc"; got != want {
		t.Errorf("Build = %v\nwant %s", got, want)
	}
}

// TestSpread runs builds on the builder that answers.
func TestSpread(t *testing.T) {
	host := images(t)
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	b := build.New(build.Options{Dir: dir, Addresses: []string{"unix:///no/such.sock", buildkit(t)}})
	t.Cleanup(func() { b.Close() })
	for i := range 4 { // whichever builder is the first choice for an image
		s := spec("web")
		s.ID, s.Platforms = string(rune('a'+i)), []string{"linux/amd64"}
		mustBuild(t, b, s, host+"/web:1")
	}
}

// TestCancel checks that no containers and no mounts are left.
func TestCancel(t *testing.T) {
	dir := workspace(t, files{"web/Dockerfile": shell + "RUN echo started; sleep 1000\n", "web/busybox": ""})
	b := newBuilder(t, dir)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no longer wanted")
	_, err := b.Build(ctx, spec("web"), images(t)+"/web:1", func(e runtime.Body) {
		if l, ok := e.(runtime.Log); ok && l.Text == "started" {
			cancel(why)
		}
	})
	if !errors.Is(err, why) {
		t.Errorf("Build = %v, want the cause %v", err, why)
	}
	eventually(t, "a container or a mount is left", func() string { return left(t, filepath.Join(home, "buildkit", "root")) })
}

// left returns the containers and mounts below the root of a BuildKit.
func left(t testing.TB, root string) string {
	t.Helper()
	bundles, err := filepath.Glob(filepath.Join(root, "runc-*/executor/?????????????????????????"))
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); strings.HasPrefix(f[4], root+"/") {
			found = append(found, f[4])
		}
	}
	return strings.Join(append(bundles, found...), "\n")
}

// eventually waits until left returns an empty string.
func eventually(t testing.TB, what string, left func() string) {
	t.Helper()
	var last string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if last = left(); last == "" {
			return
		}
	}
	t.Errorf("%s: %s", what, last)
}

// grep returns the names of the files below dir that contain text.
func grep(t testing.TB, dir, text string) string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // the file was removed in the meantime
		}
		if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), text) {
			found = append(found, path+" has "+text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(found, "\n")
}

// secrets maps names to values.
type secrets map[string]string

func (s secrets) Secret(_ context.Context, ref plan.SecretRef) (runtime.Secret, error) {
	v, ok := s[ref.Name]
	if !ok {
		return runtime.Secret{}, &missing{ref.Name}
	}
	return runtime.NewSecret(v), nil
}

type missing struct{ name string }

func (m *missing) Error() string { return "secret " + m.name + ": not found" }
func (m *missing) Unwrap() error { return runtime.ErrNotFound }
