package ui

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// sequences are the keys for which terminals send several bytes, after ESC and [ or O.
var sequences = map[string]string{
	"A": "up", "B": "down", "H": "home", "F": "end", "1~": "home", "7~": "home", "4~": "end", "8~": "end", "5~": "pgup", "6~": "pgdown",
}

// keysOf decodes bytes read from a terminal into keys. rest is the start of an incomplete
// sequence. Unknown keys are left out; printable keys are named by their character.
func keysOf(data []byte) (keys []string, rest []byte) {
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case r == 0x1b && len(data) > 1 && (data[1] == '[' || data[1] == 'O'):
			end := bytes.IndexFunc(data[2:], func(r rune) bool { return r >= '@' && r <= '~' })
			if end < 0 {
				return keys, data[:min(len(data), maxKey)]
			}
			if key := sequences[string(data[2:2+end+1])]; key != "" {
				keys = append(keys, key)
			}
			n = 2 + end + 1
		case r == 0x1b && len(data) > 1: // with Alt
			n = 2
		case r == 0x1b:
			keys = append(keys, "esc")
		case r == '\r' || r == '\n':
			keys = append(keys, "enter")
		case r == 0x7f || r == '\b':
			keys = append(keys, "backspace")
		case r == 0x03:
			keys = append(keys, "ctrl+c")
		case r == utf8.RuneError && !utf8.FullRune(data):
			return keys, data
		case unicode.IsPrint(r) && r != utf8.RuneError:
			keys = append(keys, string(r))
		}
		data = data[n:]
	}
	return keys, nil
}

// maxKey is the maximum length of an incomplete sequence that is kept.
const maxKey = 16
