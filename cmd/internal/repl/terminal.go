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

// interrupt is the byte that a terminal sends for Ctrl-C.
const interrupt = 3

// clearLine moves to the end of the line, deletes the line, and enters it.
var clearLine = []byte("\x05\x15\r")

// A Terminal reads inputs interactively, with line editing, history and
// completion. While it is open the terminal is in raw mode, so that Ctrl-C is
// an ordinary key: it discards an input, or stops the evaluation.
type Terminal struct {
	*term.Terminal
	in    *os.File
	state *term.State
	keys  *keys
	more  bool // the line continues an input
}

// Open returns a terminal on in and out, whose inputs end with ctx. Close
// restores the terminal's mode.
func Open(ctx context.Context, in *os.File, out io.Writer) (*Terminal, error) {
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("cannot set the terminal to raw mode: %w", err)
	}
	k := &keys{typed: make(chan []byte, 256), ended: ctx.Done()}
	go k.read(in)
	return &Terminal{Terminal: term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{k, out}, ""), in: in, state: state, keys: k}, nil
}

// Close restores the terminal's mode.
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
		_ = t.SetSize(width, height) // nothing is drawn yet
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
	return text, nil // evaluating it gives a better error
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

// complete completes the word before the cursor up to the common prefix, and
// lists the candidates if that adds nothing.
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

// busy returns a context that Ctrl-C cancels, until stop is called.
func (t *Terminal) busy(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	t.keys.onInterrupt(cancel)
	return ctx, func() {
		t.keys.onInterrupt(nil)
		cancel()
	}
}

// keys reads ahead of the terminal, so that it sees every Ctrl-C immediately.
type keys struct {
	typed chan []byte
	ended <-chan struct{} // closed at the end of input
	rest  []byte          // read and not consumed
	drop  bool            // the current line was ended by Ctrl-C

	mu     sync.Mutex
	cancel func() // called on Ctrl-C; nil: Ctrl-C drops the line; guarded by mu
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

// stop cancels the current evaluation, and reports whether there was one.
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

// dropped reports whether the last line was ended by Ctrl-C.
func (k *keys) dropped() bool {
	drop := k.drop
	k.drop = false
	return drop
}

// Read feeds the terminal one typed chunk at a time.
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
