package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// JSON returns p as it is written to files and shown by "-o json": indented,
// with a newline at its end, the same bytes for the same plan.
func (p *Plan) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("plan %s: %w", p.Pipeline.Name, err)
	}
	return indent(b.Bytes()), nil
}

// indent lays out what encoding/json wrote, as [json.Indent] with two spaces
// does. That one checks the syntax again, which costs as much as all the rest of
// writing a large plan.
func indent(compact []byte) []byte {
	out := make([]byte, 0, 3*len(compact))
	depth := 0
	line := func() {
		out = append(out, '\n')
		for range depth {
			out = append(out, "  "...)
		}
	}
	for i := 0; i < len(compact); i++ {
		c := compact[i]
		switch c {
		case '{', '[':
			out = append(out, c)
			if next := compact[i+1]; next == '}' || next == ']' {
				i++
				out = append(out, next)
				continue
			}
			depth++
			line()
		case '}', ']':
			depth--
			line()
			out = append(out, c)
		case ',':
			out = append(out, c)
			line()
		case ':':
			out = append(out, ": "...)
		case '"':
			end := textEnd(compact, i)
			out = append(out, compact[i:end]...)
			i = end - 1
		default:
			out = append(out, c)
		}
	}
	return out
}

// textEnd returns where the text that starts at i ends, behind its quotes.
func textEnd(compact []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(compact[i:], '"')
		backslashes := 0
		for compact[i-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i + 1
		}
	}
}
