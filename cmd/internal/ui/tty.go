package ui

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/pipelinefile/pipe/runtime"
)

// frame is the interval between frames. Events only change the model, so that ten
// thousand lines per second cost ten frames.
const frame = 100 * time.Millisecond

// ttyView redraws the model on a terminal, below the scrollback.
type ttyView struct {
	now    func() time.Time
	styles styles
	prog   *tea.Program
	done   chan struct{} // closed when prog has given the terminal back

	mu     sync.Mutex // guards the following fields
	model  *model
	above  []string // lines for the scrollback that were not written yet
	ending bool
}

func newTTY(opts Options) *ttyView {
	opts.Out = Raw(opts.Out) // what is drawn is made harmless first
	v := &ttyView{now: opts.Now, styles: newStyles(opts.Color), model: newModel(), done: make(chan struct{})}
	s := &screen{view: v}
	v.prog = tea.NewProgram(s, tea.WithOutput(opts.Out), tea.WithInput(nil),
		tea.WithoutSignalHandler(), tea.WithEnvironment(quiescent(opts.Environ)))
	go func() {
		defer close(v.done)
		_, _ = v.prog.Run()
		if s.below > 0 { // the cursor is left on the last line
			fmt.Fprintf(opts.Out, "\x1b[%dA", s.below)
		}
	}()
	return v
}

// quiescent returns the environment variables that keep Bubble Tea from querying the
// capabilities of the terminal: the view does not read the answers, and they would end up
// in the user's shell. Bubble Tea sends queries unless it believes that it runs in an SSH
// session in an unknown terminal.
func quiescent(environ []string) []string {
	term := "xterm-256color"
	for _, kv := range environ {
		if value, ok := strings.CutPrefix(kv, "TERM="); ok && !slices.ContainsFunc(
			[]string{"ghostty", "wezterm", "alacritty", "kitty", "rio"},
			func(name string) bool { return strings.Contains(value, name) }) {
			term = value
		}
	}
	return []string{"TERM=" + term, "SSH_TTY=/dev/tty"}
}

func (v *ttyView) Event(e runtime.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.model.apply(e)
	switch b := e.Body.(type) {
	case runtime.Printed:
		v.above = append(v.above, b.Pos.String()+": "+clean(b.Text))
	case runtime.FilesChanged:
		v.above = append(v.above, changedText(b))
	case runtime.Warned:
		v.above = append(v.above, v.styles.warn.Render(warning(b.Diagnostic)))
	case runtime.TagMoved:
		v.above = append(v.above, tagText(b))
	case runtime.Scanned:
		v.above = append(v.above, scannedText(b))
	case runtime.Adopts:
		v.above = append(v.above, strings.Split(adoptText(e.Service, runtime.Adoption(b)), "\n")...)
	}
}

func (v *ttyView) Note(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.above = append(v.above, text)
}

func (v *ttyView) Doing(what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.model.doing, v.model.since = what, v.now()
}

// Close leaves the outcome of the stages in the scrollback. It waits for the terminal,
// but not for one that no longer accepts output.
func (v *ttyView) Close() {
	v.mu.Lock()
	v.ending = true
	v.mu.Unlock()
	go v.prog.Send(endMsg{})
	select {
	case <-v.done:
	case <-time.After(2 * time.Second):
		v.prog.Kill()
	}
}

type (
	tickMsg    struct{}
	endMsg     struct{}
	printedMsg struct{} // the lines that flush passed on have been written
)

// A screen is the model that Bubble Tea runs: the view and the size of the terminal.
//
// The height of its output never decreases, but is filled with blank lines: otherwise
// Bubble Tea 2.0.9 loses its position, and leaves the upper lines on the screen forever.
type screen struct {
	view          *ttyView
	width, height int
	frames        int
	tall          int // maximum number of lines drawn so far
	below         int // blank lines below the end of the last frame, minus one
	printing      bool
	ending        bool
}

func tick() tea.Cmd { return tea.Tick(frame, func(time.Time) tea.Msg { return tickMsg{} }) }

func (s *screen) Init() tea.Cmd { return tick() }

func (s *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.width, s.height = msg.Width, msg.Height
	case tickMsg:
		s.frames++
		return s, tea.Batch(s.flush(), tick())
	case printedMsg:
		s.printing = false
	case endMsg:
		s.ending = true
	}
	if s.ending && !s.printing {
		return s, tea.Sequence(s.flush(), tea.Quit)
	}
	return s, nil
}

// flush passes on the lines for the scrollback, unless others are still being written:
// commands run concurrently, so later lines, or the end, could come first.
func (s *screen) flush() tea.Cmd {
	if s.printing {
		return nil
	}
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	if len(s.view.above) == 0 {
		return nil
	}
	lines := harmless(strings.Join(s.view.above, "\n"))
	s.view.above = nil
	s.printing = true
	return tea.Sequence(tea.Println(lines), func() tea.Msg { return printedMsg{} })
}

func (s *screen) View() tea.View {
	v := s.view
	v.mu.Lock()
	defer v.mu.Unlock()
	p := painter{styles: v.styles, now: v.now(), frame: s.frames, width: s.width, height: s.height}
	lines := p.live(v.model)
	if v.ending {
		if lines = p.final(v.model); len(lines) > 0 {
			lines = append(lines, " ") // for the next output
		}
		s.below = max(0, s.tall-max(1, len(lines)))
	}
	if s.height > 0 {
		s.tall = min(s.tall, s.height-1)
	}
	for len(lines) < s.tall {
		lines = append(lines, " ")
	}
	s.tall = len(lines)
	view := tea.NewView(harmless(strings.Join(lines, "\n")))
	view.DisableBracketedPasteMode = true
	return view
}
