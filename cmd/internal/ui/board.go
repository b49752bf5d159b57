package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/muesli/cancelreader"

	"github.com/pipelinefile/pipe/runtime"
)

// Keys are the actions of the keys in the live view of watch mode. If In is nil, no keys
// are read. Otherwise all functions must be set, and only Diff may block.
type Keys struct {
	In        *os.File // a terminal
	Again     func()
	Pause     func()
	Resume    func()
	Quit      func()
	Interrupt func()               // Ctrl-C, if the system does not send a signal for it
	Restart   func(service string) // rolls the pods of a service
	Open      func(url string)     // in a browser
	// Diff returns the differences between the cluster and the files. It may block until
	// its context ends.
	Diff func(context.Context) (string, error)
}

// A board is the live view of watch mode. It uses the whole screen while the process is
// in the foreground, and leaves its final state in the scrollback.
//
// A Bubble Tea program draws it: a new one each time the process gets the terminal, until
// it gives the terminal back. The board reads keys itself, because that program would
// query the capabilities of the terminal, and change more of its settings.
type board struct {
	now     func() time.Time
	styles  styles
	out     io.Writer // not a Safe: what is drawn is made harmless first
	environ []string
	keys    Keys // if In is nil there are none

	closing chan struct{} // closed when the view must end
	done    chan struct{} // closed when the terminal has been given back

	mu      sync.Mutex // guards the following fields
	model   *watched
	page    page // shown instead of the model; nil: the model is shown
	paused  bool // the loop was asked to pause, and not yet to continue
	program *tea.Program
	due     bool // a frame is scheduled
	drawn   time.Time
	frames  int
	instead *plain // shows everything after the program has failed; nil: it has not
}

// patience is how long the board waits before it takes the screen: a command line that is
// rejected immediately needs none.
const patience = 300 * time.Millisecond

func newBoard(opts Options) *board {
	v := &board{
		now: opts.Now, styles: newStyles(opts.Color), out: Raw(opts.Out), environ: quiescent(opts.Environ), keys: opts.Keys,
		closing: make(chan struct{}), done: make(chan struct{}), model: newWatched(),
	}
	go v.live()
	return v
}

// Event implements [View].
func (v *board) Event(e runtime.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.instead != nil {
		v.instead.Event(e)
		return
	}
	v.model.apply(e)
	if b, ok := e.Body.(runtime.WatchChanged); ok {
		switch b.State {
		case runtime.Paused:
			v.paused = true
		case runtime.Settled, runtime.Held:
			v.paused = false
		}
	}
	v.changed()
}

// Note implements [View].
func (v *board) Note(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.instead != nil {
		v.instead.Note(text)
		return
	}
	v.model.note(v.now(), text)
	v.changed()
}

// Doing implements [View].
func (v *board) Doing(what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.instead != nil {
		v.instead.Doing(what)
		return
	}
	v.model.doing, v.model.since = what, v.now()
	v.changed()
}

// Close implements [View]. It waits for the terminal, but not for one that no longer
// accepts output.
func (v *board) Close() {
	close(v.closing)
	select {
	case <-v.done:
	case <-time.After(2 * time.Second):
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.instead != nil {
		v.instead.Close()
		return
	}
	p := painter{styles: v.styles, now: v.now()}
	for _, line := range p.left(v.model) {
		fmt.Fprintln(NewSafe(v.out), line)
	}
}

// live shows the board whenever the process is in the foreground, until the board is
// closed.
func (v *board) live() {
	defer close(v.done)
	jobs := newJobs()
	defer jobs.close()
	for wait := patience; v.await(jobs, wait) && v.show(jobs); {
		wait = 0
	}
}

// await waits for that duration, and until the process is in the foreground. It returns
// false when the board is closed.
func (v *board) await(jobs *jobs, wait time.Duration) bool {
	for {
		select {
		case <-v.closing:
			return false
		case <-jobs.stop:
			jobs.suspend()
		case <-jobs.continued:
		case <-time.After(wait):
		}
		if v.mayDraw() {
			return true
		}
		wait = time.Second // no signal reports this
	}
}

// mayDraw reports whether the process is in the foreground of the terminal.
func (v *board) mayDraw() bool {
	out, is := v.out.(*os.File)
	return !is || Foreground(out)
}

// show draws on the screen until the process is stopped or loses the terminal. It
// returns false when the board is closed.
func (v *board) show(jobs *jobs) bool {
	restore := func() {}
	if v.keys.In != nil {
		var err error
		if restore, err = keyByKey(v.keys.In); err != nil {
			v.Note(err.Error())
			restore = func() {}
		}
	}
	program := tea.NewProgram(&drawing{board: v}, tea.WithOutput(v.out), tea.WithInput(nil), tea.WithFPS(int(time.Second/frame)),
		tea.WithoutSignalHandler(), tea.WithEnvironment(v.environ))
	v.mu.Lock()
	v.program, v.due = program, false
	v.mu.Unlock()
	var ended error // set before over is closed
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, ended = program.Run()
	}()
	quiet := v.read(program)
	var failed error
	var stopped, closed bool
	select {
	case <-over:
		failed = cmp.Or(ended, errors.New("the program has ended"))
	case <-v.closing:
		closed = true
	case <-jobs.stop:
		stopped = true
	case <-jobs.continued: // other processes have used the terminal meanwhile
	}
	v.mu.Lock()
	v.program = nil
	v.mu.Unlock()
	if failed == nil {
		go program.Quit()
		select {
		case <-over:
		case <-time.After(time.Second):
			program.Kill()
		}
	}
	quiet()
	if v.mayDraw() { // otherwise the process that has the terminal has set it
		restore()
	}
	switch {
	case failed != nil:
		v.mu.Lock()
		defer v.mu.Unlock()
		v.instead = newPlain(Options{Out: v.out, Color: true, Now: v.now})
		v.instead.Note(fmt.Sprintf("the live view failed; continuing with plain lines: %v", failed))
		return false
	case stopped:
		jobs.suspend()
	}
	return !closed
}

// changed schedules a frame, unless one is scheduled already. v.mu must be held.
func (v *board) changed() {
	if v.program == nil || v.due {
		return
	}
	v.due = true
	program := v.program
	time.AfterFunc(frame-min(frame, v.now().Sub(v.drawn)), func() { program.Send(tickMsg{}) })
}

// read passes the keys that are pressed to the board, until stop is called.
func (v *board) read(program *tea.Program) (stop func()) {
	if v.keys.In == nil {
		return func() {}
	}
	r, err := cancelreader.NewReader(v.keys.In)
	if err != nil {
		v.Note(fmt.Sprintf("cannot read keys: %v", err))
		return func() {}
	}
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var rest []byte
		for buf := make([]byte, 256); ; {
			n, err := r.Read(buf)
			var pressed []string
			pressed, rest = keysOf(append(rest, buf[:n]...))
			for _, key := range pressed {
				program.Send(keyMsg(key))
			}
			if err == nil {
				continue
			}
			select {
			case <-stopped:
				return
			case <-time.After(time.Second): // the process has lost the terminal, or the terminal is gone
			}
		}
	}()
	return func() {
		close(stopped)
		if r.Cancel() {
			<-ended
		}
		_ = r.Close()
	}
}

// keyMsg is a key that was pressed, with the name that keysOf gives it.
type keyMsg string

// A drawing is the model that Bubble Tea runs: the board, on a screen of some size.
type drawing struct {
	*board
	width, height int
}

func (d *drawing) Init() tea.Cmd { return func() tea.Msg { return tickMsg{} } }

func (d *drawing) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		d.width, d.height = msg.Width, msg.Height
	case tickMsg:
		d.tick()
	case keyMsg:
		d.press(string(msg))
	}
	return d, nil
}

// tick starts a frame. The next frame is scheduled when something changes, or soon if
// times and spinners move: while nothing runs, nothing is drawn.
func (v *board) tick() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.due, v.drawn = false, v.now()
	v.frames++
	if v.model.busy() || v.page != nil && v.page.busy() {
		v.changed()
	}
}

func (d *drawing) View() tea.View {
	d.mu.Lock()
	defer d.mu.Unlock()
	view := tea.View{AltScreen: true, DisableBracketedPasteMode: true}
	if d.width > 0 && d.height > 0 {
		p := painter{styles: d.styles, now: d.now(), frame: d.frames, width: d.width, height: d.height}
		view.Content = harmless(strings.Join(d.lines(p), "\n"))
	}
	return view
}

// lines draws the current page or the model. v.mu must be held.
func (v *board) lines(p painter) []string {
	if v.page != nil {
		return v.page.lines(p, v.model)
	}
	keys := "Ctrl-C ends watch mode; everything keeps running"
	if v.keys.In != nil {
		keys = keysText(v.model, p.width)
	}
	return p.watch(v.model, p.styles.dim.Render(keys))
}
