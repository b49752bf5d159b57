package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Not everything that pipe shows is its own output: print() of a Pipelinefile, names, the
// output of builds and pods, and messages of API servers, git and Helm. A control
// sequence in it can change a terminal's title, its colours or its keys, hide what was
// shown, or answer prompts instead of the user. So the streams of the command are Safe,
// and code that must write its own control sequences gets the underlying stream with Raw.

// A Safe is a stream that passes no control sequences except colours (SGR). Others are
// shown as a symbol, such as ␛ for the escape character. Colours end with their line.
// Each Write must contain complete characters and sequences.
type Safe struct{ below io.Writer }

// NewSafe returns a Safe that writes to w, or w itself if it is a Safe.
func NewSafe(w io.Writer) *Safe {
	if s, ok := w.(*Safe); ok {
		return s
	}
	return &Safe{w}
}

// Raw returns the stream below a Safe, or w itself if it is not a Safe.
func Raw(w io.Writer) io.Writer {
	if s, ok := w.(*Safe); ok {
		return s.below
	}
	return w
}

func (s *Safe) Write(p []byte) (int, error) {
	if _, err := s.below.Write([]byte(harmless(string(p)))); err != nil {
		return 0, err
	}
	return len(p), nil
}

const reset = "\x1b[0m"

// harmless returns text as a Safe writes it. Its characters keep their width.
func harmless(text string) string {
	if isHarmless(text) {
		return text
	}
	var b strings.Builder
	colored := false
	plain := func() {
		if colored {
			b.WriteString(reset)
			colored = false
		}
	}
	for len(text) > 0 {
		if n := colorLen(text); n > 0 {
			params := text[2 : n-1]
			b.WriteString(text[:n])
			colored = params != "" && params != "0"
			text = text[n:]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == '\n':
			plain()
			b.WriteByte('\n')
		case r == '\r' && strings.HasPrefix(text, "\r\n"): // a line ending of Windows
		case r == '\t':
			b.WriteByte('\t')
		case r < ' ':
			b.WriteRune('␀' + r) // its symbol
		case r == 0x7f:
			b.WriteRune('␡')
		case isC1(r), isBidi(r), r == utf8.RuneError:
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	plain()
	return b.String()
}

// isHarmless reports whether nothing in text must be replaced.
func isHarmless(text string) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c < ' ' && c != '\n' && c != '\t', c == 0x7f:
			return false
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(text[i:])
			if isC1(r) || isBidi(r) || r == utf8.RuneError && size == 1 {
				return false
			}
			i += size - 1
		}
	}
	return true
}

// isC1 reports whether a terminal can interpret r as the single-character start of a
// control sequence.
func isC1(r rune) bool { return r >= 0x80 && r < 0xa0 }

// maxColor is the maximum length of a colour sequence.
const maxColor = 40

// colorLen returns the length of the colour sequence at the start of text, or 0 if there
// is none, or if it hides text or makes it blink.
func colorLen(text string) int {
	if !strings.HasPrefix(text, "\x1b[") {
		return 0
	}
	for i := 2; i < len(text) && i < maxColor; i++ {
		switch c := text[i]; {
		case c == 'm':
			if !visible(text[2:i]) {
				return 0
			}
			return i + 1
		case (c < '0' || c > '9') && c != ';' && c != ':':
			return 0
		}
	}
	return 0
}

// visible reports whether text stays visible with the parameters of a colour sequence:
// none of them blinks (5, 6) or conceals (8), and all are valid numbers.
func visible(params string) bool {
	all := strings.FieldsFunc(params, func(r rune) bool { return r == ';' || r == ':' })
	for i := 0; i < len(all); i++ {
		n, err := strconv.Atoi(all[i])
		switch {
		case err != nil, n > 107, n == 5, n == 6, n == 8:
			return false
		case n == 38, n == 48, n == 58: // what follows is the colour itself
			for i++; i < len(all); i++ {
				if c, err := strconv.Atoi(all[i]); err != nil || c > 255 {
					return false
				}
			}
		}
	}
	return true
}

// isBidi reports whether r changes the direction of the text after it, so that it reads
// differently.
func isBidi(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// EscapeJSON escapes the control characters that JSON allows unescaped. All of them are
// in strings.
func EscapeJSON(data []byte) []byte {
	if isHarmless(string(data)) {
		return data
	}
	var b bytes.Buffer
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == 0x7f || isC1(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.Write(data[:size])
		}
		data = data[size:]
	}
	return b.Bytes()
}

// Encoder returns an encoder of JSON that is harmless for a terminal, one value per line.
func Encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(escaper{w})
	e.SetEscapeHTML(false)
	return e
}

// An escaper writes escaped JSON.
type escaper struct{ below io.Writer }

func (e escaper) Write(p []byte) (int, error) {
	if _, err := e.below.Write(EscapeJSON(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
