package repl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// interrupt is what a terminal sends for Ctrl-C.
const interrupt = 3

// clearLine goes to the end of the line, deletes what is before it, and enters it.
var clearLine = []byte("\x05\x15\r")

// A Terminal reads inputs that somebody types, with line editing, history and
// completion. While it is open the terminal is in raw mode, so that Ctrl-C is a key
// like others: it drops an input, or stops what is being evaluated.
type Terminal struct {
	*term.Terminal
	in    *os.File
	state *term.State
	keys  *keys
	more  bool // the line continues an input
}

// Open makes a terminal of in and out, whose inputs end with ctx. Close gives it back.
func Open(ctx context.Context, in *os.File, out io.Writer) (*Terminal, error) {
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("the terminal cannot be read key by key: %w", err)
	}
	k := &keys{typed: make(chan []byte, 256), ended: ctx.Done()}
	go k.read(in)
	return &Terminal{Terminal: term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{k, out}, ""), in: in, state: state, keys: k}, nil
}

// Close gives the terminal back as it was.
func (t *Terminal) Close() error { return term.Restore(int(t.in.Fd()), t.state) }

// input returns the next input: a statement, or a line that starts with a colon.
// The error is io.EOF at the end, and errDropped after a Ctrl-C.
func (t *Terminal) input(ctx context.Context, s *Session) (string, error) {
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		return t.complete(ctx, s, line, pos)
	}
	if width, height, err := term.GetSize(int(t.in.Fd())); err == nil && width > 0 && height > 0 {
		_ = t.SetSize(width, height) // of a terminal that shows nothing yet
	}
	t.SetPrompt(inputName(s.Next()) + " ")
	t.more = false
	first, err := t.line()
	if err != nil || strings.HasPrefix(first, ":") {
		return first, err
	}
	text, lines := "", []string{first}
	var failed error
	_, _ = dialect.ParseCompoundStmt("", func() ([]byte, error) {
		if len(lines) == 0 {
			t.SetPrompt(strings.Repeat(" ", len(inputName(s.Next()))-2) + ".. ")
			t.more = true
			var line string
			if line, failed = t.line(); failed != nil {
				return nil, failed
			}
			lines = append(lines, line)
		}
		line := lines[0] + "\n"
		lines = nil
		text += line
		return []byte(line), nil
	})
	if failed != nil {
		return "", failed
	}
	return text, nil // what cannot be parsed is evaluated, too: that says better why
}

// line reads a line.
func (t *Terminal) line() (string, error) {
	line, err := t.ReadLine()
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	if err == nil && t.keys.dropped() {
		err = errDropped
	}
	return line, err
}

// complete completes the word before the cursor as far as it is certain, and lists
// what it can be when nothing of it is.
func (t *Terminal) complete(ctx context.Context, s *Session, line string, pos int) (string, int, bool) {
	before := line[:pos]
	if strings.TrimSpace(before) == "" {
		if !t.more {
			return line, pos, true
		}
		return before + "    " + line[pos:], pos + 4, true
	}
	start, names := s.Complete(ctx, before)
	if strings.HasPrefix(before, ":") {
		start, names = 0, nil
		for _, c := range commands {
			if strings.HasPrefix(c, before) {
				names = append(names, c)
			}
		}
	}
	if len(names) == 0 {
		return line, pos, true
	}
	common := names[0]
	for _, n := range names {
		for !strings.HasPrefix(n, common) {
			common = common[:len(common)-1]
		}
	}
	if start+len(common) == pos && len(names) > 1 {
		fmt.Fprintln(t, strings.Join(names, "  "))
	}
	return before[:start] + common + line[pos:], start + len(common), true
}

// busy returns a context that Ctrl-C ends, until stop.
func (t *Terminal) busy(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	t.keys.onInterrupt(cancel)
	return ctx, func() {
		t.keys.onInterrupt(nil)
		cancel()
	}
}

// keys reads what is typed, ahead of who asks for it, to see every Ctrl-C at once.
type keys struct {
	typed chan []byte
	ended <-chan struct{} // nothing more is read
	rest  []byte          // read and not asked for
	drop  bool            // the line that is being read was ended by a Ctrl-C

	mu     sync.Mutex
	cancel func() // called for a Ctrl-C; nil: it drops the line; guarded by mu
}

func (k *keys) read(in io.Reader) {
	defer close(k.typed)
	for {
		chunk := make([]byte, 1024)
		n, err := in.Read(chunk)
		for chunk = chunk[:n]; len(chunk) > 0; {
			before, after, found := bytes.Cut(chunk, []byte{interrupt})
			if len(before) > 0 {
				k.typed <- before
			}
			if found && !k.stop() {
				k.typed <- clearLine
			}
			chunk = after
		}
		if err != nil {
			return
		}
	}
}

// stop ends what is being evaluated, and reports whether there was anything.
func (k *keys) stop() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cancel == nil {
		return false
	}
	k.cancel()
	return true
}

func (k *keys) onInterrupt(cancel func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cancel = cancel
}

// dropped reports whether the line that was read last was ended by a Ctrl-C.
func (k *keys) dropped() bool {
	drop := k.drop
	k.drop = false
	return drop
}

// Read is for the terminal, which takes what comes in one piece at once.
func (k *keys) Read(p []byte) (int, error) {
	if len(k.rest) == 0 {
		select {
		case <-k.ended:
			return 0, io.EOF
		case chunk, ok := <-k.typed:
			if !ok {
				return 0, io.EOF
			}
			k.rest, k.drop = chunk, bytes.Equal(chunk, clearLine)
		}
	}
	n := copy(p, k.rest)
	k.rest = k.rest[n:]
	return n, nil
}
