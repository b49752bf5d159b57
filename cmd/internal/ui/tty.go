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

// frame is how often the screen is drawn. Events only change the model, so that
// ten thousand lines a second cost ten screens.
const frame = 100 * time.Millisecond

// ttyView redraws the model on a terminal, below what has scrolled by.
type ttyView struct {
	now    func() time.Time
	styles styles
	prog   *tea.Program
	done   chan struct{} // closed when prog has given the terminal back

	mu     sync.Mutex // guards what follows
	model  *model
	above  []string // lines for the scrollback that are not written yet
	ending bool
}

func newTTY(opts Options) *ttyView {
	opts.Out = Raw(opts.Out) // what is drawn is made harmless before
	v := &ttyView{now: opts.Now, styles: newStyles(opts.Color), model: newModel(), done: make(chan struct{})}
	s := &screen{view: v}
	v.prog = tea.NewProgram(s, tea.WithOutput(opts.Out), tea.WithInput(nil),
		tea.WithoutSignalHandler(), tea.WithEnvironment(quiescent(opts.Environ)))
	go func() {
		defer close(v.done)
		_, _ = v.prog.Run()
		if s.below > 0 { // the cursor is left in the last line
			fmt.Fprintf(opts.Out, "\x1b[%dA", s.below)
		}
	}()
	return v
}

// quiescent returns the variables that keep Bubble Tea from asking the terminal
// what it can do: nobody here reads the answers, and they would end up in the
// user's shell. It asks unless it believes itself at the end of an SSH session
// in a terminal that it does not know.
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

// Close leaves the outcome of the stages in the scrollback. It waits for the
// terminal, but not for one that does not take anything any more.
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
	printedMsg struct{} // what flush handed over has been written
)

// A screen is what Bubble Tea runs: the view and the size of the terminal.
//
// What it draws never gets lower, but is filled with blank lines: Bubble Tea
// 2.0.9 loses its place when it does, and leaves the upper lines behind for good.
type screen struct {
	view          *ttyView
	width, height int
	frames        int
	tall          int // lines drawn so far at most
	below         int // blank lines below the end of the last picture, but for one
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

// flush hands over the lines for the scrollback, unless others are on their way:
// commands run side by side, so that the later ones, or the end, could come first.
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
			lines = append(lines, " ") // for whoever writes next
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
