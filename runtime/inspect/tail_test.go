package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// errLost is the error of a reader whose connection is lost.
var errLost = errors.New("connection lost")

// A fakeContainer is the log of a container that restarts, as on a server.
type fakeContainer struct {
	mu      sync.Mutex
	state   logState
	logs    []string // one for each start
	fails   []error  // of the next requests
	cut     int      // bytes after which the next connection is lost; 0: not lost
	asked   []string
	changed func(c *fakeContainer) // called when a log was read to its end
}

func (c *fakeContainer) now() logState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// open returns the log like a server: from a time in whole seconds.
func (c *fakeContainer) open(_ context.Context, opts *corev1.PodLogOptions) (io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := fmt.Sprintf("previous=%v", opts.Previous)
	if opts.SinceTime != nil {
		asked += " since=" + opts.SinceTime.UTC().Format(time.TimeOnly)
	}
	if opts.SinceSeconds != nil {
		asked += fmt.Sprintf(" seconds=%d", *opts.SinceSeconds)
	}
	c.asked = append(c.asked, asked)
	if len(c.fails) > 0 {
		err := c.fails[0]
		if c.fails = c.fails[1:]; err != nil {
			return nil, err
		}
	}
	n := int(c.state.restarts)
	if opts.Previous {
		n--
	}
	var text strings.Builder
	for line := range strings.Lines(c.logs[n]) {
		stamp, _, _ := strings.Cut(line, " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if opts.SinceTime == nil || err != nil || !at.Before(opts.SinceTime.Truncate(time.Second)) {
			text.WriteString(line)
		}
	}
	end := c.end
	rest := text.String()
	if c.cut > 0 {
		rest, end = rest[:min(c.cut, len(rest))], func() error { return errLost }
		c.cut = 0
	}
	return io.NopCloser(io.MultiReader(strings.NewReader(rest), readerFunc(func([]byte) (int, error) { return 0, end() }))), nil
}

func (c *fakeContainer) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed != nil {
		c.changed(c)
	}
	return io.EOF
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// following reads the logs of a container until start has nothing left to read, and returns
// the lines and problems.
func following(t *testing.T, c *fakeContainer, from begin, secrets ...corev1.Secret) (lines, troubles []string) {
	t.Helper()
	ins := &Inspector{}
	show := newLogShow(ins.newHiding([]string{"shop"}), func(l LogLine) { lines = append(lines, l.Text) }, func(text string) { troubles = append(troubles, text) })
	l := ins.newLogs("shop", show)
	l.hide.list = func(context.Context) (*corev1.SecretList, error) { return &corev1.SecretList{Items: secrets}, nil }
	f := &follower{
		logs: l, key: containerKey{"uid", "main"}, service: "api", from: from, state: c.now,
		pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "api-1"}, Spec: corev1.PodSpec{NodeName: "node-1"}},
	}
	f.reader = &logReader{open: l.carefully("node-1", c.open)}
	ctx, stop := context.WithTimeout(t.Context(), time.Hour)
	defer stop()
	var wg sync.WaitGroup
	wake := make(chan struct{}, 1)
	f.start(ctx, wake, &wg)
	wg.Wait()
	if ctx.Err() != nil {
		t.Error("the log is read for ever")
	}
	f.start(ctx, wake, &wg) // nothing is left to read
	wg.Wait()
	return lines, troubles
}

const (
	line1 = "2026-01-02T03:04:05.1Z one\n"
	line2 = "2026-01-02T03:04:05.2Z two\n"
	twin2 = "2026-01-02T03:04:05.2Z two again\n"
	line3 = "2026-01-02T03:04:05.3Z three\n"
)

// exited sets the container to not running after its log was read.
func exited(c *fakeContainer) { c.state.running = false }

func TestFollower(t *testing.T) {
	running := logState{there: true, begun: true, running: true}
	away := &apierrors.StatusError{ErrStatus: metav1.Status{Code: 500, Message: `Get "https://10.0.0.1:10250/containerLogs": dial tcp: refused`}}
	for _, tt := range []struct {
		name     string
		c        *fakeContainer
		from     begin
		lines    []string
		troubles []string
		asked    []string // nil: not checked
		restarts bool     // it restarts soon
	}{
		{
			name: "to its end", c: &fakeContainer{state: running, logs: []string{line1 + line2 + "2026-01-02T03:04:06Z an end"}, changed: exited},
			lines: []string{"one", "two", "an end"},
			asked: []string{"previous=false", "previous=false since=03:04:05"},
		},
		{
			name: "lost within a line", c: &fakeContainer{state: running, logs: []string{line1 + line2 + twin2 + line3}, cut: len(line1+line2) + 28, changed: exited},
			lines: []string{"one", "two", "two again", "three"},
		},
		{
			name: "lost between lines of one time", c: &fakeContainer{state: running, logs: []string{line1 + line2 + twin2 + line3}, cut: len(line1 + line2), changed: exited},
			lines: []string{"one", "two", "two again", "three"},
		},
		{
			name: "ends though it runs", c: &fakeContainer{state: running, logs: []string{line1}, changed: func(c *fakeContainer) {
				if len(c.asked) == 4 {
					c.logs[0] += line2
					exited(c)
				}
			}},
			lines: []string{"one", "two"},
		},
		{
			name: "started again, what was lost is given", c: &fakeContainer{
				state: running, logs: []string{line1 + line2 + line3 + "2026-01-02T03:04:06Z crash", "2026-01-02T03:04:09Z up\n"}, cut: len(line1), changed: func(c *fakeContainer) {
					if len(c.asked) > 3 {
						exited(c)
					}
				},
			},
			lines: []string{"one", "two", "three", "crash", "up"}, restarts: true,
		},
		{
			name: "started again, what was lost is deleted", c: &fakeContainer{
				state: running, logs: []string{line1 + line2, "2026-01-02T03:04:09Z up\n"}, cut: len(line1), changed: exited,
				fails: []error{nil, apierrors.NewBadRequest("previous terminated container not found"), apierrors.NewBadRequest("container is waiting to start")},
			},
			lines: []string{"one", "up"}, restarts: true,
		},
		{
			name: "pod is gone", c: &fakeContainer{state: running, logs: []string{line1 + "2026-01-02T03:04:06Z cut off"}, changed: func(c *fakeContainer) { c.state = logState{} }},
			lines: []string{"one", "cut off"},
		},
		{
			name: "node is away", c: &fakeContainer{state: running, logs: []string{line1}, fails: []error{away, away, away}, changed: exited},
			lines: []string{"one"}, troubles: []string{"a log cannot be followed until its node answers: that of pod api-1 on node node-1: dial tcp: refused"},
		},
		{
			name: "refused", c: &fakeContainer{state: running, logs: []string{line1}, fails: []error{apierrors.NewForbidden(schema.GroupResource{Resource: "pods/log"}, "api-1", errors.New("no"))}},
			troubles: []string{`log of container main of pod api-1: pods/log "api-1" is forbidden: no`}, asked: []string{"previous=false"},
		},
		{
			name: "not its past", c: &fakeContainer{state: running, logs: []string{line1}, changed: exited}, from: begin{since: time.Date(1999, 12, 31, 23, 59, 57, 0, time.UTC)},
			lines: []string{"one"}, asked: []string{"previous=false seconds=3", "previous=false since=03:04:05"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tt.restarts {
					go func() {
						time.Sleep(lookAgain / 2) // while the log is not being read
						tt.c.mu.Lock()
						defer tt.c.mu.Unlock()
						tt.c.state.restarts = 1
					}()
				}
				lines, troubles := following(t, tt.c, tt.from)
				if diff := cmp.Diff(tt.lines, lines); diff != "" {
					t.Errorf("lines (-want +got):\n%s\nasked: %q", diff, tt.c.asked)
				}
				if diff := cmp.Diff(tt.troubles, troubles); diff != "" {
					t.Errorf("troubles (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.asked, tt.c.asked); diff != "" && tt.asked != nil {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestLongLine: a line that exceeds the maximum is split, and is not repeated.
func TestLongLine(t *testing.T) {
	long := strings.Repeat("x", maxLine+10)
	text := "2026-01-02T03:04:05Z " + long + "\n" + "2026-01-02T03:04:05.5Z end\n"
	var lines []LogLine
	r := &logReader{give: func(l LogLine) { lines = append(lines, l) }, open: func(context.Context, *corev1.PodLogOptions) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}}
	for range 2 {
		if _, err := r.read(t.Context(), begin{}, corev1.PodLogOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(lines) != 3 || lines[0].Text+lines[1].Text != long || lines[1].Time.IsZero() || lines[2].Text != "end" {
		t.Errorf("%d lines", len(lines))
	}
}

// TestHidingLater: the value of a Secret that is created later is redacted too, even in the
// output of a running container; a replaced value stays redacted.
func TestHidingLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now []corev1.Secret
		asked := 0
		h := (&Inspector{}).newHiding([]string{"shop"})
		h.list = func(context.Context) (*corev1.SecretList, error) {
			asked++
			return &corev1.SecretList{Items: now}, nil
		}
		secret := func(value string) {
			now = []corev1.Secret{{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Data: map[string][]byte{"token": []byte(value)}}}
		}
		shows := func(text, want string) {
			t.Helper()
			if got := h.text(t.Context(), text); got != want {
				t.Errorf("shown: %q, want %q", got, want)
			}
		}
		if err := h.fresh(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		shows("sw0rdfish", "sw0rdfish")
		secret("sw0rdfish")
		if err := h.fresh(t.Context(), time.Now()); err != nil { // at the same time
			t.Fatal(err)
		}
		time.Sleep(time.Nanosecond)
		if err := h.fresh(t.Context(), time.Now()); err != nil { // a container has started
			t.Fatal(err)
		}
		shows("sw0rdfish", "REDACTED")
		secret("0ther-fish")
		time.Sleep(2 * secretsAge)
		shows("sw0rdfish and 0ther-fish", "REDACTED and REDACTED")
		shows("db", "db")
		if asked != 3 {
			t.Errorf("Secrets were asked for %d times", asked)
		}
	})
}
