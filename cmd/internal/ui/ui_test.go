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

	"charm.land/lipgloss/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata/*.txtar")

// bodies decodes the body of an event in a line of testdata, by kind.
var bodies = map[string]func(json.RawMessage) (runtime.Body, error){}

func init() {
	record[runtime.RunStarted]()
	record[runtime.StageStarted]()
	record[runtime.StageEnded]()
	record[runtime.StateChanged]()
	record[runtime.BuildStep]()
	record[runtime.Transfer]()
	record[runtime.TagMoved]()
	record[runtime.Log]()
	record[runtime.PodChanged]()
	record[runtime.WaitingFor]()
	record[runtime.Retried]()
	record[runtime.Printed]()
	record[runtime.Warned]()
	record[runtime.Adopts]()
	record[runtime.RunEnded]()
	record[runtime.FilesChanged]()
	record[runtime.WatchChanged]()
	record[runtime.ServiceRemoved]()
	record[runtime.PodLog]()
	record[runtime.Forwarding]()
	record[runtime.Synced]()
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

// events reads lines "SECONDS | STAGE | SERVICE | KIND | BODY" as events that occur after
// start; "SECONDS#N" belongs to the run N of watch mode.
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
		at, number, _ := strings.Cut(f[0], "#")
		secs, err := strconv.ParseFloat(at, 64)
		if err != nil {
			t.Fatalf("events, line %d: %v", i+1, err)
		}
		run, err := strconv.Atoi("0" + number)
		if err != nil {
			t.Fatalf("events, line %d: %v", i+1, err)
		}
		body, err := bodies[f[3]](json.RawMessage(f[4]))
		if err != nil {
			t.Fatalf("events, line %d: %v", i+1, err)
		}
		all = append(all, runtime.Event{
			Seq: uint64(len(all) + 1), Time: start.Add(time.Duration(secs * float64(time.Second))),
			Run: run, Stage: f[1], Service: f[2], Body: body,
		})
	}
	return all
}

// TestGolden shows the events of each file of testdata in the ways that its other parts
// name: "plain", "WIDTHxHEIGHT at SECONDS" for a screen, and "watch WIDTHxHEIGHT at
// SECONDS" for a screen of watch mode. A part "plan.json" is the plan of all runs.
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
				if part.Name == "events" || part.Name == "plan.json" {
					continue
				}
				got := showPart(t, ar, part.Name)
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

func showPart(t *testing.T, ar *txtar.Archive, name string) string {
	t.Helper()
	if name == "plain" {
		return showPlain(t, ar)
	}
	var width, height int
	var at float64
	size, watching := strings.CutPrefix(name, "watch ")
	if _, err := fmt.Sscanf(size, "%dx%d at %f", &width, &height, &at); err != nil {
		t.Fatalf("part %q: %v", name, err)
	}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := painter{styles: newStyles(false), now: start.Add(time.Duration(at * float64(time.Second))), width: width, height: height}
	m, w := newModel(), newWatched()
	for _, e := range recorded(t, ar, start) {
		if e.Time.After(p.now) {
			continue
		}
		if watching {
			w.apply(e)
		} else {
			m.apply(e)
		}
	}
	var lines []string
	switch {
	case watching:
		lines = p.watch(w, keysText(w, width))
		if len(lines) != height {
			t.Errorf("%s: %d lines, want as many as the screen has", name, len(lines))
		}
	case m.ended:
		lines = p.final(m)
	default:
		if lines = p.live(m); len(lines) > height-1 {
			t.Errorf("%s: %d lines are too many", name, len(lines))
		}
	}
	for _, line := range lines {
		if n := lipgloss.Width(line); n > width {
			t.Errorf("%s: a line of %d: %q", name, n, line)
		}
	}
	text := strings.Join(lines, "\n") + "\n"
	if watching {
		text = trimLines(text) // a screen is filled to its last line
	}
	return text
}

// recorded returns the events of a file of testdata, with its plan in the runs.
func recorded(t *testing.T, ar *txtar.Archive, start time.Time) []runtime.Event {
	t.Helper()
	var all []runtime.Event
	var p *plan.Plan
	for _, part := range ar.Files {
		switch part.Name {
		case "events":
			all = events(t, start, string(part.Data))
		case "plan.json":
			p = new(plan.Plan)
			if err := json.Unmarshal(part.Data, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, e := range all {
		if b, ok := e.Body.(runtime.RunEnded); ok && b.Record != nil {
			b.Record.Plan = p
		}
	}
	return all
}

// showPlain replays events at their times, with heartbeats in between.
func showPlain(t *testing.T, ar *txtar.Archive) (shown string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		v := New(Options{Mode: Plain, Out: &out})
		for _, e := range recorded(t, ar, time.Now()) {
			time.Sleep(time.Until(e.Time))
			v.Event(e)
		}
		v.Close()
		shown = out.String()
	})
	return shown
}

// A lockedBuilder can be read while it is written to.
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
		listen := func(what string) {
			silent, seen := time.Now(), len(out.String())
			for range 300 {
				time.Sleep(time.Second)
				synctest.Wait()
				if n := len(out.String()); n != seen {
					silent, seen = time.Now(), n
				}
				if d := time.Since(silent); d >= 20*time.Second { // C3
					t.Fatalf("%s: silent for %s after:\n%s", what, d, out.String())
				}
			}
		}
		v.Doing("starting the local Kubernetes")
		listen("work before the run")
		v.Event(runtime.Event{Time: time.Now(), Body: runtime.RunStarted{}})
		v.Event(runtime.Event{Time: time.Now(), Stage: "s", Service: "api", Body: runtime.StateChanged{State: runtime.Deploying}})
		listen("a service that is deployed")
		v.Close()
		want := " 0:02  starting the local Kubernetes\n 0:17  starting the local Kubernetes, for 17.0s now\n"
		if got := out.String(); !strings.HasPrefix(got, want) {
			t.Errorf("got:\n%s\nwant it to begin with:\n%s", got, want)
		}
	})
}

// TestPlainSince checks that the times of lines count from Options.Since.
func TestPlainSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		v := New(Options{Mode: Plain, Out: &out, Since: time.Now().Add(-20 * time.Second)})
		v.Note("again")
		v.Close()
		if want := " 0:20  again\n"; out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
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

// TestMemory checks that the memory of a view depends on the services, and not on their
// output.
func TestMemory(t *testing.T) {
	m := newModel()
	for i := range 100_000 {
		m.apply(runtime.Event{Stage: "s", Service: "api", Body: runtime.Log{Source: "x", Text: fmt.Sprint(i)}})
	}
	tail := m.services["api"].tail
	if len(tail.values) != tailSize {
		t.Errorf("kept %d lines, want %d", len(tail.values), tailSize)
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
