package ui

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pipelinefile/pipe/runtime"
)

// TestKeysOf decodes the bytes that terminals send for keys, also in pieces, and ignores
// unknown ones.
func TestKeysOf(t *testing.T) {
	tests := map[string]struct {
		in   string
		want []string
		rest string
	}{
		"letters":       {"rq?", []string{"r", "q", "?"}, ""},
		"others":        {"ü ", []string{"ü", " "}, ""},
		"enter":         {"\r\n", []string{"enter", "enter"}, ""},
		"backspace":     {"\x7f\b", []string{"backspace", "backspace"}, ""},
		"arrows":        {"\x1b[A\x1bOB", []string{"up", "down"}, ""},
		"pages":         {"\x1b[5~\x1b[6~\x1b[H\x1b[4~", []string{"pgup", "pgdown", "home", "end"}, ""},
		"escape":        {"\x1b", []string{"esc"}, ""},
		"Ctrl-C":        {"\x03", []string{"ctrl+c"}, ""},
		"unknown":       {"\x1b[1;5D\x01\x1bx", nil, ""},
		"cut":           {"r\x1b[5", []string{"r"}, "\x1b[5"},
		"cut character": {"\xc3", nil, "\xc3"},
		"not UTF-8":     {"\xffr", []string{"r"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			keys, rest := keysOf([]byte(tt.in))
			if diff := cmp.Diff(tt.want, keys); diff != "" || string(rest) != tt.rest {
				t.Errorf("keysOf(%q): rest %q, want %q (-want +got):\n%s", tt.in, rest, tt.rest, diff)
			}
		})
	}
}

// A pressing is a board without a terminal, for tests that press keys.
type pressing struct {
	*board
	did []string
}

// newPressing returns a board that has received the events of a file of testdata.
func newPressing(t *testing.T, file string, until float64) *pressing {
	t.Helper()
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := start.Add(time.Duration(until * float64(time.Second)))
	p := &pressing{}
	did := func(what string) func() { return func() { p.did = append(p.did, what) } }
	does := func(what string) func(string) { return func(arg string) { p.did = append(p.did, what+" "+arg) } }
	p.board = &board{now: func() time.Time { return now }, styles: newStyles(false), model: newWatched(), keys: Keys{
		In: os.Stdin, Again: did("again"), Pause: did("pause"), Resume: did("resume"), Quit: did("quit"), Interrupt: did("interrupt"),
		Restart: does("restart"), Open: does("open"),
		Diff: func(context.Context) (string, error) { return strings.Repeat("deploy api: changed\n", 30), nil },
	}}
	for _, e := range recorded(t, ar, start) {
		if !e.Time.After(now) {
			p.Event(e)
		}
	}
	return p
}

func (p *pressing) types(keys ...string) {
	for _, key := range keys {
		p.press(key)
	}
}

// screen returns the contents of a terminal of that size.
func (p *pressing) screen(t *testing.T, width, height int) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := p.lines(painter{styles: p.styles, now: p.now(), width: width, height: height})
	if len(lines) != height {
		t.Errorf("%d lines on a screen of %d:\n%s", len(lines), height, strings.Join(lines, "\n"))
	}
	return trimLines(strings.Join(lines, "\n") + "\n")
}

// TestPress presses each key of watch mode, and checks its action and what is shown.
func TestPress(t *testing.T) {
	for _, tt := range []struct {
		name string
		keys string // separated by blanks
		did  []string
		show string // must be shown somewhere afterward
	}{
		{"run again", "r", []string{"again"}, "watching; failed: api"},
		{"pause and resume", "p p p", []string{"pause", "resume", "pause"}, ""},
		{"run ends a pause", "p r p", []string{"pause", "again", "pause"}, ""},
		{"quit", "q", []string{"quit"}, ""},
		{"Ctrl-C as a key", "ctrl+c", []string{"interrupt"}, ""},
		{"Ctrl-C on a page", "? ctrl+c", []string{"interrupt"}, "this help"},
		{"help", "?", nil, "d   diff: what differs between the cluster and the files"},
		{"help and back", "? q", nil, "watching; failed: api"},
		{"logs: which", "l", nil, "> 1  all services"},
		{"logs of all", "l enter", nil, "api | cannot reach db: connection refused"},
		{"logs of one", "l w e b enter", nil, "listening on :80"},
		{"logs of what failed begin with why", "l 3", nil, "| pod api-77: container api: exited with 1, restarted 3 times"},
		{"logs of nothing", "l d b enter", nil, "nothing has been printed yet"},
		{"no match", "s x", nil, "no name matches"},
		{"a name corrected", "s x backspace a p enter", []string{"restart api"}, "watching; failed: api"},
		{"restart by number", "s 2", []string{"restart api"}, "watching; failed: api"},
		{"restart by the arrows", "s down down down up enter", []string{"restart api"}, ""},
		{"restart nothing", "s esc", nil, "watching; failed: api"},
		{"q is a letter of a name", "s q", nil, "restart: q"},
		{"open the one that has an address of a page", "o enter", []string{"open 127.0.0.1:5432"}, ""},
		{"open by name", "o w e b enter", []string{"open http://127.0.0.1:8080"}, ""},
		{"unknown keys", "x up pgup", nil, "watching; failed: api"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPressing(t, "testdata/watch.txtar", 24)
			p.types(strings.Fields(tt.keys)...)
			if !slices.Equal(p.did, tt.did) {
				t.Errorf("did %q, want %q", p.did, tt.did)
			}
			if got := p.screen(t, 80, 24); !strings.Contains(got, tt.show) {
				t.Errorf("%q is not shown in:\n%s", tt.show, got)
			}
			for _, size := range [][2]int{{40, 10}, {20, 3}, {9, 2}, {1, 1}, {300, 100}} {
				p.screen(t, size[0], size[1])
			}
		})
	}
}

// TestAnswer answers the question of a branch switch with r or p.
func TestAnswer(t *testing.T) {
	p := newPressing(t, "testdata/watch.txtar", 40)
	if got := p.screen(t, 80, 24); !strings.Contains(got, "r run them") {
		t.Errorf("the answers are not shown:\n%s", got)
	}
	p.types("r", "p")
	if want := []string{"again", "pause"}; !slices.Equal(p.did, want) {
		t.Errorf("did %q, want %q", p.did, want)
	}
}

// TestNothingToOpen checks that a note is shown if there is no forwarded port, and that a
// single one is opened immediately.
func TestNothingToOpen(t *testing.T) {
	p := newPressing(t, "testdata/watch.txtar", 3)
	p.types("o")
	if got := p.screen(t, 100, 24); len(p.did) > 0 || !strings.Contains(got, "forward them with --forward") {
		t.Errorf("did %q:\n%s", p.did, got)
	}
	p.Event(runtime.Event{Service: "web", Body: runtime.Forwarding{Port: 80, URL: "http://127.0.0.1:1"}})
	p.types("o")
	if want := []string{"open http://127.0.0.1:1"}; !slices.Equal(p.did, want) {
		t.Errorf("did %q, want %q", p.did, want)
	}
}

// TestDiffPage checks that the differences appear when they are known, and scroll, and
// that leaving the page cancels the comparison.
func TestDiffPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPressing(t, "testdata/watch.txtar", 24)
		ended := false
		compare := p.keys.Diff
		p.keys.Diff = func(ctx context.Context) (string, error) {
			select {
			case <-time.After(time.Second):
				return compare(ctx)
			case <-ctx.Done():
				ended = true
				return "", ctx.Err()
			}
		}
		p.types("d")
		if got := p.screen(t, 80, 24); !strings.Contains(got, "comparing with the cluster") {
			t.Errorf("the page does not say that it waits:\n%s", got)
		}
		time.Sleep(2 * time.Second)
		if got := p.screen(t, 80, 24); !strings.HasPrefix(got, "diff  1–22 of 30\ndeploy api") {
			t.Errorf("the difference:\n%s", got)
		}
		p.types("down", "pgdown", "pgdown", "up")
		if got := p.screen(t, 80, 24); !strings.HasPrefix(got, "diff  8–29 of 30\n") {
			t.Errorf("scrolled:\n%s", got)
		}
		p.types("esc", "d", "esc")
		synctest.Wait()
		if !ended {
			t.Error("the comparison continues after its page is left")
		}
	})
}

// TestLogPageStandsStill checks that logs follow the output, and do not move while they
// are scrolled back.
func TestLogPageStandsStill(t *testing.T) {
	p := newPressing(t, "testdata/watch.txtar", 3)
	printed := 0
	say := func(n int) {
		for ; n > 0; n-- {
			p.Event(runtime.Event{Service: "api", Body: runtime.Log{Source: "api-0/api", Text: fmt.Sprint("line ", printed)}})
			printed++
		}
	}
	say(30)
	p.types("l", "3")
	if got := p.screen(t, 40, 12); !strings.Contains(got, "line 29\n") {
		t.Errorf("the newest line is not shown:\n%s", got)
	}
	p.types("up")
	before := p.screen(t, 40, 12)
	say(300)
	if got := p.screen(t, 40, 12); got != before {
		t.Errorf("before:\n%s\nafter more lines:\n%s", before, got)
	}
	p.types("end")
	if got := p.screen(t, 40, 12); !strings.Contains(got, "line 329\n") {
		t.Errorf("the newest line is not shown:\n%s", got)
	}
	if n := len(p.model.log.values); n > keptOfAll {
		t.Errorf("%d lines are kept, want at most %d", n, keptOfAll)
	}
}

// TestIdle checks that a frame schedules the next one while something runs, and not
// afterward.
func TestIdle(t *testing.T) {
	asks := func(p *pressing) bool {
		p.program = tea.NewProgram(nil)
		p.program.Kill() // no output is needed
		p.tick()
		return p.due
	}
	if !asks(newPressing(t, "testdata/watch.txtar", 3)) {
		t.Error("nothing moves during a run")
	}
	p := newPressing(t, "testdata/watch.txtar", 24)
	if asks(p) {
		t.Error("something moves after everything has settled")
	}
	for _, state := range []runtime.WatchState{runtime.Paused, runtime.Wrong, runtime.Held} {
		p.model.apply(runtime.Event{Body: runtime.WatchChanged{State: state}})
		if asks(p) {
			t.Errorf("%s: something moves", state)
		}
	}
	p.Event(runtime.Event{Body: runtime.FilesChanged{Paths: []string{"x"}}})
	if !p.due {
		t.Error("a change is not drawn")
	}
}

// TestManyWatched checks that the most important of hundreds of services are shown, and
// the others are counted.
func TestManyWatched(t *testing.T) {
	m := newWatched()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var names []string
	for i := range 600 {
		names = append(names, fmt.Sprintf("service-%03d", i))
	}
	send := func(after time.Duration, service string, body runtime.Body) {
		m.apply(runtime.Event{Time: now.Add(after), Run: 1, Service: service, Body: body})
	}
	send(0, "", runtime.WatchChanged{State: runtime.Running})
	send(0, "", runtime.RunStarted{Action: runtime.Deploy, Namespace: "big-default", Stages: []runtime.StageOutline{{Name: "one", Services: names}}})
	for i, name := range names {
		switch {
		case i == 300:
			send(1, name, runtime.StateChanged{State: runtime.Failed})
		case i%100 == 7:
			send(time.Second, name, runtime.StateChanged{State: runtime.Building, Reason: "changed"})
		case i < 20:
			send(time.Duration(i)*time.Second, name, runtime.StateChanged{State: runtime.Done})
		default:
			send(0, name, runtime.StateChanged{State: runtime.Unchanged})
		}
	}
	p := painter{styles: newStyles(false), now: now.Add(30 * time.Second), width: 60, height: 14}
	got := trimLines(strings.Join(p.watch(m, "keys"), "\n") + "\n")
	want := `big-default  ⠋ running  30.0s
⠋ service-007  building       29.0s  changed
✔ service-016  done        03:04:21
✔ service-017  done        03:04:22
✔ service-018  done        03:04:23
✔ service-019  done        03:04:24
⠋ service-107  building       29.0s  changed
⠋ service-207  building       29.0s  changed
✘ service-300  failed      03:04:05
⠋ service-307  building       29.0s  changed
⠋ service-407  building       29.0s  changed
⠋ service-507  building       29.0s  changed
  and 589 more: 15 done, 574 unchanged
keys
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
