package ui

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pipelinefile/pipe/runtime"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata/*.txtar")

// bodies makes the event of a line of testdata from its kind.
var bodies = map[string]func(json.RawMessage) (runtime.Body, error){}

func init() {
	record[runtime.RunStarted]()
	record[runtime.StageStarted]()
	record[runtime.StageEnded]()
	record[runtime.StateChanged]()
	record[runtime.BuildStep]()
	record[runtime.Transfer]()
	record[runtime.Log]()
	record[runtime.PodChanged]()
	record[runtime.WaitingFor]()
	record[runtime.Retried]()
	record[runtime.Printed]()
	record[runtime.Warned]()
	record[runtime.RunEnded]()
}

func record[B runtime.Body]() {
	var b B
	bodies[b.Kind()] = func(raw json.RawMessage) (runtime.Body, error) {
		var b B
		if len(raw) == 0 {
			return b, nil
		}
		return b, json.Unmarshal(raw, &b)
	}
}

// events reads lines "SECONDS | STAGE | SERVICE | KIND | BODY" as events that happened after start.
func events(t *testing.T, start time.Time, text string) []runtime.Event {
	t.Helper()
	var all []runtime.Event
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.SplitN(line, "|", 5)
		if len(f) != 5 {
			t.Fatalf("events, line %d: %q has not five fields", i+1, line)
		}
		for j := range f {
			f[j] = strings.TrimSpace(f[j])
		}
		secs, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			t.Fatalf("events, line %d: %v", i+1, err)
		}
		body, err := bodies[f[3]](json.RawMessage(f[4]))
		if err != nil {
			t.Fatalf("events, line %d: %v", i+1, err)
		}
		all = append(all, runtime.Event{
			Seq: uint64(len(all) + 1), Time: start.Add(time.Duration(secs * float64(time.Second))),
			Stage: f[1], Service: f[2], Body: body,
		})
	}
	return all
}

// TestGolden shows the events of each file of testdata in the ways that its
// other parts name: "plain", and "WIDTHxHEIGHT at SECONDS" for a screen.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, part := range ar.Files {
				if part.Name == "events" {
					continue
				}
				got := showPart(t, string(ar.Files[0].Data), part.Name)
				if *update {
					ar.Files[i].Data = []byte(got)
					continue
				}
				if diff := cmp.Diff(string(part.Data), got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", part.Name, diff)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func showPart(t *testing.T, recorded, name string) string {
	t.Helper()
	if name == "plain" {
		return showPlain(t, recorded)
	}
	var width, height int
	var at float64
	if _, err := fmt.Sscanf(name, "%dx%d at %f", &width, &height, &at); err != nil {
		t.Fatalf("part %q: %v", name, err)
	}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := start.Add(time.Duration(at * float64(time.Second)))
	m := newModel()
	for _, e := range events(t, start, recorded) {
		if !e.Time.After(now) {
			m.apply(e)
		}
	}
	p := painter{styles: newStyles(false), now: now, width: width, height: height}
	lines := p.live(m)
	if m.ended {
		lines = p.final(m)
	}
	if len(lines) > height-1 && !m.ended {
		t.Errorf("%s: %d lines are too many", name, len(lines))
	}
	return strings.Join(lines, "\n") + "\n"
}

// showPlain plays events at their times, and lets the heart beat between.
func showPlain(t *testing.T, recorded string) (shown string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		v := New(Options{Mode: Plain, Out: &out})
		for _, e := range events(t, time.Now(), recorded) {
			time.Sleep(time.Until(e.Time))
			v.Event(e)
		}
		v.Close()
		shown = out.String()
	})
	return shown
}

// A lockedBuilder can be looked at while it is written to.
type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestPlainIsNeverSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuilder
		v := New(Options{Mode: Plain, Out: &out})
		v.Doing("starting the local Kubernetes")
		silent, seen := time.Now(), 0
		for range 300 {
			time.Sleep(time.Second)
			synctest.Wait()
			if n := len(out.String()); n != seen {
				silent, seen = time.Now(), n
			}
			if d := time.Since(silent); d >= 20*time.Second {
				t.Fatalf("silent for %s after:\n%s", d, out.String())
			}
		}
		v.Close()
		want := " 0:02  starting the local Kubernetes\n 0:17  starting the local Kubernetes, for 17.0s now\n"
		if got := out.String(); !strings.HasPrefix(got, want) {
			t.Errorf("got:\n%s\nwant it to begin with:\n%s", got, want)
		}
	})
}

func TestPlainIsQuietAboutWhatIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		v := New(Options{Mode: Plain, Out: &out})
		v.Doing("evaluating Pipelinefile")
		time.Sleep(time.Second)
		v.Close()
		if out.Len() > 0 {
			t.Errorf("got %q, want nothing", out.String())
		}
	})
}

// TestMemory: what a view keeps depends on the services, not on what they print.
func TestMemory(t *testing.T) {
	m := newModel()
	for i := range 100_000 {
		m.apply(runtime.Event{Stage: "s", Service: "api", Body: runtime.Log{Source: "x", Text: fmt.Sprint(i)}})
	}
	tail := m.services["api"].tail
	if len(tail.lines) != tailSize {
		t.Errorf("kept %d lines, want %d", len(tail.lines), tailSize)
	}
	if diff := cmp.Diff([]string{"99998", "99999"}, tail.last(2)); diff != "" {
		t.Errorf("last lines (-want +got):\n%s", diff)
	}
}

func TestClean(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"plain":           {"hello", "hello"},
		"colour":          {"\x1b[31mred\x1b[0m", "red"},
		"title":           {"\x1b]0;evil\x07text", "text"},
		"progress":        {"10%\r50%\r100%", "100%"},
		"windows":         {"line\r\n", "line"},
		"tab":             {"a\tb", "a    b"},
		"bell":            {"a\x07b", "ab"},
		"C1":              {"a\u009b31mb", "a31mb"},
		"not UTF-8":       {"a\xffb", "a\xffb"},
		"unended":         {"a\x1b[31", "a"},
		"unended escape":  {"a\x1b", "a"},
		"other languages": {"größer 大きい", "größer 大きい"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := clean(tt.in); got != tt.want {
				t.Errorf("clean(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", 1234 * time.Millisecond: "1.2s", 59900 * time.Millisecond: "59.9s", 59960 * time.Millisecond: "1m00s",
		125 * time.Second: "2m05s", 3725 * time.Second: "1h02m",
	} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%v) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{5 * time.Minute: "5m", 90 * time.Minute: "1h30m", 2 * time.Hour: "2h", 90 * time.Second: "1m30s"} {
		if got := duration(d); got != want {
			t.Errorf("duration(%v) = %q, want %q", d, got, want)
		}
	}
	if got := amount(1_200_000, 40_000_000); got != "1.2 of 40.0 MB" {
		t.Errorf("amount = %q", got)
	}
}
