package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// A bench runs the command on a world in memory.
type bench struct {
	*app
	world          *runtimetest.World
	stdout, stderr safeBuffer
	signals        chan os.Signal
	exits          []int // statuses of exits by a second interrupt
	opened         local.Options
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

const oneApp = `
pipeline("shop")
application("api", source = local("api"), ports = [port(8080)])
`

// newBench creates a directory with a Pipelinefile and a source api.
func newBench(t *testing.T, pipelinefile string, args ...string) *bench {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "Pipelinefile", pipelinefile)
	write(t, dir, "api/Dockerfile", "FROM scratch\nCOPY . /\n")
	b := &bench{world: runtimetest.NewWorld(), signals: make(chan os.Signal, 2)}
	b.app = &app{
		args: args, dir: dir, exe: filepath.Join(dir, "pipe"), user: "ana@laptop", now: time.Now,
		stdin: strings.NewReader(""), stdout: &b.stdout, stderr: &b.stderr,
		terminal: func() bool { return false },
		signals:  b.signals,
		exit:     func(status int) { b.exits = append(b.exits, status) },
		open: func(_ context.Context, opts local.Options) (*local.Runtime, error) {
			b.opened = opts
			return &local.Runtime{Runtime: *b.world.Runtime()}, nil
		},
		cluster: func(_ context.Context, opts local.Options) (*local.Cluster, error) {
			b.opened = opts
			return &local.Cluster{Environments: b.world.Runtime().Environments}, nil
		},
	}
	return b
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs the command and checks its status.
func (b *bench) run(t *testing.T, want int) {
	t.Helper()
	if got := b.main(); got != want {
		t.Errorf("pipe %s: status %d, want %d\nstdout:\n%s\nstderr:\n%s", strings.Join(b.args, " "), got, want, b.stdout.String(), b.stderr.String())
	}
}

// again clears the streams and sets new arguments.
func (b *bench) again(args ...string) {
	b.args = args
	b.stdout, b.stderr = safeBuffer{}, safeBuffer{}
	b.app.stdout, b.app.stderr = &b.stdout, &b.stderr
}

func checkText(t *testing.T, what, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimLeft(want, "\n"), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestRunTwice: the second run finds everything unchanged (A7), and results on stdout are
// separate from progress on stderr (C2).
func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oneApp, "run")
		b.run(t, statusDone)
		checkText(t, "stderr", b.stderr.String(), `
 0:00  deploy shop-default: 1 service in 4 stages
 0:00  stage DEFAULT APPLICATION: 1 service
 0:00  api | building: no image of this source in the registry
 0:00  api | RUN make
 0:00  api | RUN make: 0.0s
 0:00  api | built
 0:00  api | deploying: not deployed yet
 0:00  api | waits for deployment api: 0 of 1 replicas are available
 0:00  api | pod api-0: Running, ready
 0:00  api | done
 0:00  stage DEFAULT APPLICATION done in 0.0s: 1 done
`)
		if out := b.stdout.String(); !strings.Contains(out, "api      DEFAULT APPLICATION  done   sha256:") ||
			!strings.HasSuffix(out, "deploy shop-default: 1 done, in 0.0s\n") {
			t.Errorf("stdout:\n%s", out)
		}
		b.again("run", "--progress", "quiet")
		b.run(t, statusDone)
		if out := b.stdout.String(); !strings.HasSuffix(out, "deploy shop-default: 1 unchanged, in 0.0s\n") {
			t.Errorf("stdout:\n%s", out)
		}
		checkText(t, "stderr", b.stderr.String(), "")
	})
}

// TestRunJSON: stdout is one JSON value, stderr one event per line.
func TestRunJSON(t *testing.T) {
	b := newBench(t, oneApp+"print('hello')\nwarn('careful')\n", "run", "-o", "json", "--progress", "json")
	b.run(t, statusDone)
	var rec runtime.RunRecord
	if err := json.Unmarshal([]byte(b.stdout.String()), &rec); err != nil {
		t.Fatalf("stdout is not a record: %v\n%s", err, b.stdout.String())
	}
	if len(rec.Services) != 1 || rec.Services[0].State != runtime.Done || rec.By != "ana@laptop" {
		t.Errorf("record: %+v", rec)
	}
	for line := range strings.Lines(b.stderr.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %q", line)
		}
	}
}

// TestRunJSONFails: an error is also an event.
func TestRunJSONFails(t *testing.T) {
	b := newBench(t, oneApp, "run", "-o", "json", "--progress", "json")
	b.world.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Builder.Build" {
			return errors.New("no power")
		}
		return nil
	}
	b.run(t, statusFailed)
	var last struct{ Kind, Source, Text string }
	for line := range strings.Lines(b.stderr.String()) {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Errorf("not JSON: %q", line)
		}
	}
	if want := "  build image of api: no power"; last.Kind != "log" || last.Source != "pipe" || last.Text != want {
		t.Errorf("the last event is %+v, want a log of pipe: %q", last, want)
	}
	if !json.Valid([]byte(b.stdout.String())) {
		t.Errorf("stdout is not JSON:\n%s", b.stdout.String())
	}
}

// TestFailures: the kind of failure of a run decides the status, and the message says what,
// where, why and what to do next (C2).
func TestFailures(t *testing.T) {
	t.Run("build", func(t *testing.T) {
		b := newBench(t, `
pipeline("shop")
application("api", source = local("api"), build = dockerfile(file = "broken"))
`, "run", "--progress", "quiet")
		write(t, b.dir, "api/broken", "FROM scratch\nRUN make\n")
		b.run(t, statusFailed)
		checkText(t, "stderr", b.stderr.String(), `
error: api (Pipelinefile:3:1) in stage DEFAULT APPLICATION
  build image of api: RUN make: exit status 2
  | it breaks here
  next: correct the Dockerfile or what it copies and run again; nothing of this stage was deployed
`)
		if !strings.Contains(b.stdout.String(), "api      DEFAULT APPLICATION  failed") {
			t.Errorf("stdout:\n%s", b.stdout.String())
		}
	})
	t.Run("locked", func(t *testing.T) {
		b := newBench(t, oneApp, "run", "--progress", "quiet", "--env", "staging")
		key := runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}
		lease, err := b.world.Locker.Another().Lock(t.Context(), key, "bob@desk")
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Release(t.Context())
		b.run(t, statusLocked)
		got := b.stderr.String()
		if !strings.HasPrefix(got, "error: environment staging is locked by bob@desk since ") || !strings.HasSuffix(got, "\nnext: wait for it with --wait-lock\n") {
			t.Errorf("stderr:\n%s", got)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, oneApp, "run", "--progress", "quiet", "--timeout", "30s")
			b.world.Takes = func(op, _ string) time.Duration { return time.Hour }
			b.run(t, statusTimeout)
			checkText(t, "stderr", b.stderr.String(), `
error: timed out after 30s, while at work on api (RUN make)
next: increase --timeout, or check what it was waiting for
`)
		})
	})
	t.Run("file", func(t *testing.T) {
		b := newBench(t, "pipeline('shop')\nfoo()\n", "run", "--progress", "quiet")
		b.run(t, statusFile)
		if got := b.stderr.String(); !strings.HasPrefix(got, "Pipelinefile:2:1: ") {
			t.Errorf("stderr:\n%s", got)
		}
		if n := len(b.world.Calls()); n > 0 {
			t.Errorf("%d calls were made of a world that a wrong file must not touch", n)
		}
	})
}

// TestInterrupt: the first signal stops the run cleanly, and the status names it (A4, C2).
func TestInterrupt(t *testing.T) {
	for _, tt := range []struct {
		signal os.Signal
		name   string
		status int
	}{{os.Interrupt, "interrupted", statusInterrupted}, {syscall.SIGTERM, "terminated", statusTerminated}, {syscall.SIGHUP, "the terminal was closed", statusHangup}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, oneApp, "run")
				b.world.Takes = func(op, _ string) time.Duration { return time.Hour }
				go func() {
					time.Sleep(time.Minute)
					b.signals <- tt.signal
				}()
				b.run(t, tt.status)
				got := b.stderr.String()
				for _, want := range []string{
					" 0:45  api | still building after 45.0s: RUN make (45.0s)\n",
					" 1:00  " + tt.name + ": stopping cleanly after current writes; interrupt again to stop immediately\n",
					" 1:00  api | cancelled after 1m00s: " + tt.name + "\n",
					"error: " + tt.name + "\nnext: run again to continue: completed steps are not repeated\n",
				} {
					if !strings.Contains(got, want) {
						t.Errorf("stderr has not %q:\n%s", want, got)
					}
				}
				if held := b.world.Locker.Held(runtime.EnvironmentKey{Pipeline: "shop", Name: "default"}); held != "" {
					t.Errorf("the lease is still held by %s", held)
				}
				if len(b.exits) > 0 {
					t.Errorf("exited at once: %v", b.exits)
				}
			})
		})
	}
}

// TestSecondInterrupt: the second interrupt ends the process immediately.
func TestSecondInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oneApp, "run")
		ended := make(chan struct{})
		b.exit = func(status int) { b.exits = append(b.exits, status); close(ended) }
		b.world.Hook = func(ctx context.Context, c runtimetest.Call) error {
			if c.Op == "Builder.Build" { // a builder that ignores the first one
				b.signals <- os.Interrupt
				b.signals <- syscall.SIGTERM
				<-ended
			}
			return nil
		}
		b.run(t, statusInterrupted)
		if diff := cmp.Diff([]int{statusTerminated}, b.exits); diff != "" {
			t.Errorf("exits (-want +got):\n%s", diff)
		}
	})
}

// TestPlanSteps: plan shows what a run would do, and changes nothing.
func TestPlanSteps(t *testing.T) {
	b := newBench(t, oneApp, "plan", "--detailed-exitcode")
	b.run(t, statusChanges)
	want := "      -> build and deploy: no image of this source in the registry"
	if !strings.Contains(b.stdout.String(), want) {
		t.Errorf("stdout has not %q:\n%s", want, b.stdout.String())
	}
	if !b.opened.Passive {
		t.Error("plan opened parts that may be started")
	}
	for _, c := range b.world.Calls() {
		switch c.Op {
		case "Builder.Identify", "Registry.Resolve", "Deployer.Deployed", "Deployer.Fingerprint", "Store.Environment", "Store.Owns":
		default:
			t.Errorf("plan did %s", c.Op)
		}
	}
	b.again("run", "--progress", "quiet")
	b.run(t, statusDone)
	b.again("plan", "--detailed-exitcode")
	b.run(t, statusDone)
	if !strings.HasSuffix(b.stdout.String(), "nothing to do: everything is as the Pipelinefile says\n") {
		t.Errorf("stdout:\n%s", b.stdout.String())
	}
}

// TestPlanWithoutCluster: the plan is still shown, with a note about what is not known.
func TestPlanWithoutCluster(t *testing.T) {
	b := newBench(t, oneApp, "plan")
	b.open = func(context.Context, local.Options) (*local.Runtime, error) {
		return nil, &local.UnavailableError{Part: "cluster", Err: context.DeadlineExceeded, Next: "use --local"}
	}
	b.run(t, statusDone)
	if !strings.HasSuffix(b.stdout.String(), "1 service in 4 stages; what is built and deployed already is not known: cluster: context deadline exceeded\n") {
		t.Errorf("stdout:\n%s", b.stdout.String())
	}
	b.again("plan", "--detailed-exitcode")
	b.run(t, statusFailed)
	b.again("run")
	b.run(t, statusFailed)
	checkText(t, "stderr", b.stderr.String(), "error: cluster: context deadline exceeded\nnext: use --local\n")
}

// TestParts: flags have precedence over variables, and variables over the Pipelinefile.
func TestParts(t *testing.T) {
	const file = "pipeline('shop', registry = 'registry.example.com/shop', sbom = 'scanner:1')\n"
	tests := []struct {
		name    string
		environ []string
		args    []string
		want    func(local.Options) bool
	}{
		{"file", nil, nil, func(o local.Options) bool { return o.Registry == "registry.example.com/shop" && o.SBOM == "scanner:1" }},
		{"scanner", nil, nil, func(o local.Options) bool { return !o.NoSBOM }},
		{"variable", []string{"PIPE_REGISTRY=v.example.com"}, nil, func(o local.Options) bool { return o.Registry == "v.example.com" }},
		{"flag", []string{"PIPE_REGISTRY=v.example.com"}, []string{"--registry", "f.example.com"}, func(o local.Options) bool { return o.Registry == "f.example.com" }},
		{"buildkit host", []string{"BUILDKIT_HOST=unix:///x"}, nil, func(o local.Options) bool { return cmp.Equal(o.BuildKit, []string{"unix:///x"}) }},
		{"buildkit", []string{"BUILDKIT_HOST=unix:///x", "PIPE_BUILDKIT=tcp://a:1,tcp://b:1"}, nil,
			func(o local.Options) bool { return cmp.Equal(o.BuildKit, []string{"tcp://a:1", "tcp://b:1"}) }},
		{"local", []string{"PIPE_LOCAL=true"}, nil, func(o local.Options) bool { return o.Local }},
		{"home", []string{"XDG_STATE_HOME=/state"}, nil, func(o local.Options) bool { return o.Home == filepath.FromSlash("/state/pipe") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, file, append([]string{"run", "--progress", "quiet"}, tt.args...)...)
			b.environ = tt.environ
			b.run(t, statusDone)
			if !tt.want(b.opened) {
				t.Errorf("opened with %+v", b.opened)
			}
		})
	}
}

// TestWatchDoesNotScan: watch mode has no scanner of SBOMs (I13).
func TestWatchDoesNotScan(t *testing.T) {
	b := newBench(t, oneApp)
	e := evaluation{plan: &plan.Plan{Pipeline: plan.Pipeline{SBOM: "scanner:1"}}, workspace: b.dir}
	if _, err := b.openParts(t.Context(), &cobra.Command{}, partFlags{}, e, false); err != nil || b.opened.SBOM != "scanner:1" || b.opened.NoSBOM {
		t.Errorf("a run opens %q, %v, want the scanner", b.opened.SBOM, err)
	}
	if _, err := b.openWarm(t.Context(), &cobra.Command{}, partFlags{}, e); err != nil || !b.opened.NoSBOM {
		t.Errorf("watch mode opens %q, %v, want none", b.opened.SBOM, err)
	}
}
