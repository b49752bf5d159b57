package build_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// mustBuild builds spec and returns its events.
func mustBuild(t testing.TB, b *build.Builder, s plan.BuildSpec, ref string) (plan.Digest, *record) {
	t.Helper()
	var r record
	digest, err := b.Build(t.Context(), s, ref, r.emit)
	if err != nil {
		t.Fatalf("Build = %v\n%s", err, r.text())
	}
	return digest, &r
}

// TestBuilder runs the contract tests of all builders.
func TestBuilder(t *testing.T) {
	dir := workspace(t, files{})
	host := images(t)
	// folder returns a build of a new directory.
	folder := func(t *testing.T, dockerfile string) plan.BuildSpec {
		path := runtimetest.Unique("source")
		files{
			path + "/Dockerfile": dockerfile,
			path + "/busybox":    "",
			path + "/unique":     path,
		}.write(t, dir)
		s := spec(path)
		s.ID = path
		return s
	}
	runtimetest.TestBuilder(t, runtimetest.BuilderTest{
		Builder:  newBuilder(t, dir),
		Registry: testRegistry{host: host},
		Spec:     func(t *testing.T) plan.BuildSpec { return folder(t, shell+"COPY unique /\n") },
		Change: func(t *testing.T, s plan.BuildSpec) {
			files{s.Source.Path + "/unique": "changed"}.write(t, dir)
		},
		Broken: func(t *testing.T) plan.BuildSpec { return folder(t, shell+"RUN echo it breaks here; exit 1\n") },
		Slow:   func(t *testing.T) plan.BuildSpec { return folder(t, shell+"RUN sleep 600\n") },
	})
}

func TestBuild(t *testing.T) {
	host := images(t)
	dir := workspace(t, files{
		"web/Dockerfile": shell + `ARG GREETING=none
COPY index.html /srv/
RUN echo "$GREETING" >/srv/greeting
CMD ["/bin/httpd"]
`,
		"web/busybox": "", "web/index.html": "hello",
	})
	b := newBuilder(t, dir)
	s := spec("web")
	s.Args = map[string]string{"GREETING": "good morning"}
	s.Labels = map[string]string{"team": "shop"}
	ref := host + "/web:1"
	digest, first := mustBuild(t, b, s, ref)
	if got := head(t, ref); got != digest {
		t.Errorf("the registry has %s, Build returned %s", got, digest)
	}
	image := pull(t, ref)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.Labels["team"] != "shop" || strings.Join(config.Config.Cmd, " ") != "/bin/httpd" {
		t.Errorf("the image's configuration is %+v", config.Config)
	}
	if got := readImage(t, image, "srv/greeting"); got != "good morning\n" {
		t.Errorf("the argument came out as %q", got)
	}
	for _, e := range first.steps("RUN echo") {
		if e.Cached {
			t.Errorf("a step that was run is said to be cached: %+v", e)
		}
	}

	again, second := mustBuild(t, b, s, host+"/web:2")
	if again != digest {
		t.Errorf("built again the digest is %s, first %s", again, digest)
	}
	ended := second.steps("RUN echo")
	if len(ended) == 0 || !ended[len(ended)-1].Cached {
		t.Errorf("a step from the cache is not said to be: %+v", ended)
	}

	files{"web/index.html": "HELLO"}.write(t, dir)
	changed, _ := mustBuild(t, newBuilder(t, dir), s, host+"/web:3")
	if got := readImage(t, pull(t, host+"/web:3"), "srv/index.html"); changed == digest || got != "HELLO" {
		t.Errorf("after a change the image has %q", got)
	}
}

// TestBuildSameTime builds a file that has changed but has the same size and time: BuildKit
// must not use its previous copy.
func TestBuildSameTime(t *testing.T) {
	host := images(t)
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY x /\n"})
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	b := newBuilder(t, dir)
	for i := range 5 {
		content := fmt.Sprint("content ", i)
		files{"web/x": content}.write(t, dir)
		if err := os.Chtimes(filepath.Join(dir, "web/x"), old, old); err != nil {
			t.Fatal(err)
		}
		ref := fmt.Sprintf("%s/web:%d", host, i)
		if _, err := b.Identify(t.Context(), spec("web")); err != nil {
			t.Fatal(err)
		}
		mustBuild(t, b, spec("web"), ref)
		if got := readImage(t, pull(t, ref), "x"); got != content {
			t.Fatalf("the image has %q, the context %q", got, content)
		}
	}
}

// TestBuildIgnored checks that files in .dockerignore are not in images.
func TestBuildIgnored(t *testing.T) {
	host := images(t)
	dir := workspace(t, files{
		"a/Dockerfile": "FROM scratch\nCOPY . /\n", "a/.dockerignore": "*\n!src\nsrc/secret\n", "a/src/x": "x", "a/src/secret": "s", "a/y": "y",
		"b/Dockerfile": "FROM scratch\nCOPY . /\n", "b/.dockerignore": "x\n", "b/Dockerfile.dockerignore": "y\n", "b/x": "x", "b/y": "y",
	})
	b := newBuilder(t, dir)
	for source, want := range map[string]string{
		"a": "src/ src/x",
		"b": ".dockerignore Dockerfile Dockerfile.dockerignore x",
	} {
		ref := host + "/" + source + ":1"
		mustBuild(t, b, spec(source), ref)
		if got := strings.Join(listImage(t, pull(t, ref)), " "); got != want {
			t.Errorf("the image of %s has %q, want %q", source, got, want)
		}
	}
}

// TestBuildModes checks that an image has only what is part of its identity: links and
// executable bits, but not umask and owner.
func TestBuildModes(t *testing.T) {
	host := images(t)
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n", "web/run*": "x", "web/d/plain": "x", "web/link": "-> d/plain"})
	for _, path := range []string{"web/d/plain", "web/d"} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, path), info.Mode().Perm()&0o700); err != nil {
			t.Fatal(err)
		}
	}
	mustBuild(t, newBuilder(t, dir), spec("web"), host+"/web:1")
	want := map[string]string{"run": "755 ", "d/plain": "644 ", "d/": "755 ", "link": "777 d/plain"}
	for name, got := range modesOf(t, pull(t, host+"/web:1")) {
		if w, ok := want[name]; ok && got != w {
			t.Errorf("%s has %q, want %q", name, got, w)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is not in the image", name)
	}
}

// TestReproducible builds the same source with two independent builders.
func TestReproducible(t *testing.T) {
	host := images(t)
	f := files{
		"web/Dockerfile": shell + "COPY src /src\nRUN date >/dev/null; mkdir /out; cat /src/a >/out/a; ln -s a /out/b\n",
		"web/busybox":    "", "web/src/a": "a", "web/src/run*": "b",
	}
	var digests, identities []plan.Digest
	for i := range 2 {
		dir := workspace(t, f)
		at := daemon.Background{Home: t.TempDir(), Idle: time.Minute}
		t.Cleanup(func() {
			if err := at.Process().Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
		attached, err := at.Ensure(t.Context())
		if err != nil {
			unavailable(t, "buildkit", err)
		}
		b := build.New(build.Options{Dir: dir, Addresses: []string{attached.Addr}, Reproducible: true})
		id, err := b.Identify(t.Context(), spec("web"))
		if err != nil {
			t.Fatal(err)
		}
		digest, _ := mustBuild(t, b, spec("web"), fmt.Sprintf("%s/web:%d", host, i))
		digests, identities = append(digests, digest), append(identities, id)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		attached.Release()
	}
	if identities[0] != identities[1] || digests[0] != digests[1] {
		t.Errorf("identities %q, digests %q: want twice the same", identities, digests)
	}
}

// TestBuildLimits checks the resource limits of a command (I5).
func TestBuildLimits(t *testing.T) {
	addr := buildkit(t)
	host := images(t)
	dockerfile := shell + "ARG LIMITS\nRUN " +
		"if [ -e /sys/fs/cgroup/cpu.max ]; then cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max; " +
		"else echo $(cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us) $(cat /sys/fs/cgroup/cpu/cpu.cfs_period_us); cat /sys/fs/cgroup/memory/memory.limit_in_bytes; fi\n"
	for _, test := range []struct {
		limits build.Limits
		want   string
	}{
		{build.Limits{}, "400000 100000,4294967296"},
		{build.Limits{CPU: 0.5, Memory: 64 << 20}, "50000 100000,67108864"},
	} {
		dir := workspace(t, files{"web/Dockerfile": dockerfile, "web/busybox": ""})
		// Limits are not part of BuildKit's cache keys, but arguments are.
		s := spec("web")
		s.Args = map[string]string{"LIMITS": test.want}
		b := build.New(build.Options{Dir: dir, Addresses: []string{addr}, Limits: test.limits})
		_, r := mustBuild(t, b, s, host+"/web:1")
		if got := strings.Join(r.lines(), ","); got != test.want {
			t.Errorf("limits %+v: the command saw %q, want %q", test.limits, got, test.want)
		}
		b.Close()
	}
}

// TestBuildLimitsTogether: the memory of a build is that of all its commands together, and another
// build has its own. Each command takes 40 MiB and waits until the other one has taken as much.
func TestBuildLimitsTogether(t *testing.T) {
	t.Parallel()
	addr, host := buildkit(t), images(t)
	take := func(id string) string {
		// BuildKit runs equal commands once, whatever is mounted.
		return "RUN --mount=type=cache,id=" + id + ",target=/all : " + id + "; dd if=/dev/zero of=/dev/shm/x bs=1M count=40 && touch /all/$STEP && until [ $(ls /all | wc -l) = 2 ]; do sleep 0.1; done\n"
	}
	build := func(t *testing.T, dockerfile string, args map[string]string) error {
		dir := workspace(t, files{"web/Dockerfile": dockerfile, "web/busybox": ""})
		b := build.New(build.Options{Dir: dir, Addresses: []string{addr}, Limits: build.Limits{Memory: 64 << 20}})
		defer b.Close()
		s := spec("web")
		s.Args = args
		_, err := b.Build(t.Context(), s, host+"/"+runtimetest.Unique("web")+":1", func(runtime.Body) {})
		return err
	}
	t.Run("one build", func(t *testing.T) {
		t.Parallel()
		id := runtimetest.Unique("one")
		base := strings.Replace(shell, "scratch", "scratch AS base", 1)
		err := build(t, base+"FROM base AS a\nENV STEP=a\n"+take(id)+"FROM base AS b\nENV STEP=b\n"+take(id)+"FROM base\nCOPY --from=a /bin/busybox /a\nCOPY --from=b /bin/busybox /b\n", nil)
		var wrong *runtime.BuildError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "exit status 137: the command was killed, which happens when it takes more memory than a build may have") {
			t.Errorf("Build = %v, want that one of the commands was killed", err)
		}
	})
	t.Run("two builds", func(t *testing.T) {
		t.Parallel()
		id := runtimetest.Unique("two")
		var wg sync.WaitGroup
		for _, step := range []string{"a", "b"} {
			wg.Go(func() {
				if err := build(t, shell+"ARG STEP\n"+take(id), map[string]string{"STEP": step}); err != nil {
					t.Errorf("build %s: %v", step, err)
				}
			})
		}
		wg.Wait()
	})
}

// TestBuildSeven runs seven concurrent builds of the same context, which is sent once. Each
// build waits until all of them are running.
func TestBuildSeven(t *testing.T) {
	host := images(t)
	all := runtimetest.Unique("all")
	var targets strings.Builder
	for i := range 7 {
		fmt.Fprintf(&targets, "FROM base AS t%d\nRUN --mount=type=cache,id=%s,target=/all touch /all/%d; until [ $(ls /all | wc -l) = 7 ]; do sleep 0.1; done\n", i, all, i)
	}
	dir := workspace(t, files{
		"web/Dockerfile": strings.Replace(shell, "scratch", "scratch AS base", 1) + "COPY big /\n" + targets.String(),
		"web/busybox":    "", "web/big": strings.Repeat("0123456789abcdef", 1<<17),
	})
	b := newBuilder(t, dir)
	var wg sync.WaitGroup
	var mu sync.Mutex
	sent := map[string]int64{} // bytes of each transfer of the context
	ctx, stop := context.WithTimeoutCause(t.Context(), 5*time.Minute, errors.New("not all builds run concurrently"))
	defer stop()
	for i := range 7 {
		s := spec("web")
		s.ID, s.Target = fmt.Sprint("web", i), fmt.Sprint("t", i)
		wg.Go(func() {
			var r record
			if _, err := b.Build(ctx, s, fmt.Sprintf("%s/web%d:1", host, i), r.emit); err != nil {
				t.Errorf("build %d: %v", i, err)
			}
			for _, e := range r.steps("load build context") {
				mu.Lock()
				sent[e.ID] = max(sent[e.ID], e.Bytes)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	var total int64
	for _, n := range sent {
		total += n
	}
	const size = 2<<20 + 2<<20 // the file and busybox, approximately
	if total > size*3/2 {
		t.Errorf("%d bytes of a context of %d were sent, in %d sendings", total, size, len(sent))
	}
}

// TestBuildChanged changes a file between Identify and Build.
func TestBuildChanged(t *testing.T) {
	host := images(t)
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY x /\n", "web/x": "before"})
	b := newBuilder(t, dir)
	if _, err := b.Identify(t.Context(), spec("web")); err != nil {
		t.Fatal(err)
	}
	files{"web/x": "after"}.write(t, dir)
	_, err := b.Build(t.Context(), spec("web"), host+"/web:1", func(runtime.Body) {})
	const want = "the build context of web: changed meanwhile: it changed after the run had looked at it; run again"
	if !errors.Is(err, runtime.ErrConflict) || err.Error() != want {
		t.Errorf("Build = %v\nwant %s", err, want)
	}
	if _, err := b.Identify(t.Context(), spec("web")); err != nil {
		t.Fatal(err)
	}
	mustBuild(t, b, spec("web"), host+"/web:1")
}

// TestBuildChangedWhileSent changes a file after the build has started: the image would not
// match the identity.
func TestBuildChangedWhileSent(t *testing.T) {
	host := images(t)
	for name, change := range map[string]func(path string) error{
		"content": func(path string) error { return os.WriteFile(path, []byte("AFTER!"), 0o644) },
		"longer":  func(path string) error { return os.WriteFile(path, []byte("after and more"), 0o644) },
		"shorter": func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n", "web/src/x": "before", "web/y": "y"})
			b := newBuilder(t, dir)
			var once sync.Once
			ref := host + "/" + name + ":1"
			_, err := b.Build(t.Context(), spec("web"), ref, func(runtime.Body) {
				once.Do(func() { // BuildKit reads the Dockerfile first, and then the context
					if err := change(filepath.Join(dir, "web/src/x")); err != nil {
						t.Error(err)
					}
				})
			})
			const want = "src/x in the build context of web: changed meanwhile: it changed after the run had looked at it; run again"
			if !errors.Is(err, runtime.ErrConflict) || err.Error() != want {
				t.Errorf("Build = %v\nwant %s", err, want)
			}
			if _, err := (testRegistry{host: host}).Resolve(t.Context(), ref); !errors.Is(err, runtime.ErrNotFound) {
				t.Errorf("the image of other files was pushed: %v", err)
			}
			if name != "removed" {
				mustBuild(t, b, spec("web"), ref)
			}
		})
	}
}

// testRegistry is a registry for the contract tests.
type testRegistry struct {
	runtime.Registry
	host string
}

func (r testRegistry) Ref(service string, identity plan.Digest) string {
	return r.host + "/" + service + ":" + strings.TrimPrefix(string(identity), "sha256:")[:32]
}

func (r testRegistry) Resolve(ctx context.Context, ref string) (plan.Digest, error) {
	n, err := name.ParseReference(ref)
	if err != nil {
		return "", err
	}
	d, err := remote.Head(n, remote.WithContext(ctx))
	if err != nil {
		return "", fmt.Errorf("%w: %w", runtime.ErrNotFound, err)
	}
	return plan.Digest(d.Digest.String()), nil
}

func pull(t testing.TB, ref string) v1.Image {
	t.Helper()
	n, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(n)
	if err != nil {
		t.Fatal(err)
	}
	return image
}
