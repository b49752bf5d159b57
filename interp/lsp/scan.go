package lsp

import "strings"

// Source that is being typed does not parse most of the time. The context of
// the cursor is therefore derived from brackets, strings and commas alone.

// A frame is one open bracket.
type frame struct {
	kind    byte // '(', '[' or '{'
	open    int  // its offset
	callee  string
	arg     int      // number of commas so far
	start   int      // of the argument
	keyword string   // of a keyword argument
	given   []string // names of the arguments so far, including this one
}

// A scan is a scanner over source. It knows strings, comments and brackets.
type scan struct {
	data   string
	pos    int
	frames []frame

	inComment bool
	inString  bool
	start     int // of the string: of its first quote, after the prefix
	quote     string
}

// step advances by one token, or to stop if that comes first.
func (s *scan) step(stop int) {
	switch c := s.data[s.pos]; {
	case s.inComment:
		if c == '\n' || c == '\r' {
			s.inComment = false
		}
		s.pos++
	case s.inString:
		switch {
		case c == '\\':
			s.pos = min(s.pos+2, stop)
		case strings.HasPrefix(s.data[s.pos:], s.quote):
			if s.pos+len(s.quote) > stop { // the cursor is in the closing quotes
				s.pos = stop
				return
			}
			s.pos += len(s.quote)
			s.inString = false
		case (c == '\n' || c == '\r') && len(s.quote) == 1: // not closed
			s.inString = false
			s.pos++
		default:
			s.pos++
		}
	case c == '#':
		s.inComment = true
		s.pos++
	case c == '"' || c == '\'':
		s.inString, s.start, s.quote = true, s.pos, string(c)
		if triple := strings.Repeat(s.quote, 3); strings.HasPrefix(s.data[s.pos:], triple) && s.pos+3 <= stop {
			s.quote = triple
		}
		s.pos += len(s.quote)
	case c == '(' || c == '[' || c == '{':
		f := frame{kind: c, open: s.pos, start: s.pos + 1}
		if c == '(' {
			f.callee = callee(s.data[:s.pos])
		}
		s.frames = append(s.frames, f)
		s.pos++
	case c == ')' || c == ']' || c == '}':
		if n := len(s.frames); n > 0 {
			s.frames = s.frames[:n-1]
		}
		s.pos++
	case len(s.frames) > 0:
		f := &s.frames[len(s.frames)-1]
		switch c {
		case ',':
			f.arg++
			f.start, f.keyword = s.pos+1, ""
		case '=':
			// A comma is often missing before a name that is being typed, so
			// only the word before the "=" counts, not the whole argument.
			end := len(strings.TrimRight(s.data[:s.pos], " \t"))
			start, _ := wordAt(s.data[:end], end)
			if name := s.data[start:end]; f.kind == '(' && start >= f.start && isName(name) && !strings.HasPrefix(s.data[s.pos:], "==") {
				f.keyword = name
				f.given = append(f.given, name)
			}
		}
		s.pos++
	default:
		s.pos++
	}
}

// to advances to off.
func (s *scan) to(off int) {
	for s.pos < off {
		s.step(off)
	}
}

// call returns the innermost open call and its index among the frames.
func (s *scan) call() (*frame, int) {
	for i := len(s.frames) - 1; i >= 0; i-- {
		if f := &s.frames[i]; f.kind == '(' && f.callee != "" {
			return f, i
		}
	}
	return nil, 0
}

// furthest limits how far after the cursor the end of a call is searched for.
const furthest = 20_000

// given returns the names of all keyword arguments of the call at frame i of s,
// including those after the cursor.
func (s *scan) given(i int) []string {
	after := *s
	after.frames = append([]frame(nil), s.frames...)
	end := min(len(s.data), s.pos+furthest)
	for after.pos < end && len(after.frames) > i && after.frames[i].open == s.frames[i].open {
		names := after.frames[i].given
		if after.step(end); len(after.frames) <= i {
			return names
		}
	}
	if len(after.frames) > i {
		return after.frames[i].given
	}
	return s.frames[i].given
}

// callee returns the dotted name at the end of text: the function that a
// following parenthesis would call. It is empty if there is none.
func callee(text string) string {
	end := len(text)
	for end > 0 && (text[end-1] == ' ' || text[end-1] == '\t') {
		end--
	}
	start := end
	for start > 0 && (isNameByte(text[start-1]) || text[start-1] == '.') {
		start--
	}
	name := text[start:end]
	before := strings.TrimRight(text[:start], " \t")
	if keywords[name] && name != "load" || strings.HasSuffix(before, "def") && !strings.HasSuffix(before, "_def") {
		return ""
	}
	return strings.Trim(name, ".")
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// isName reports whether s can be a name. Starlark allows Unicode letters; a
// name with non-ASCII characters is not rejected here.
func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != "" && (s[0] < '0' || s[0] > '9') && !keywords[s]
}

// keywords are the words that cannot be names: the keywords of Starlark and its reserved words.
var keywords = set("and break continue def elif else for if in lambda load not or pass return while " +
	"as assert async await class del except finally from global import is nonlocal raise try with yield")

func set(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}

// wordAt returns the name around off.
func wordAt(data string, off int) (start, end int) {
	for start = off; start > 0 && isNameByte(data[start-1]); start-- {
	}
	for end = off; end < len(data) && isNameByte(data[end]); end++ {
	}
	return start, end
}

// chunks returns the offsets at which top-level statements start: each line
// that starts one, outside of strings. It also ends an unclosed bracket there,
// and reports the chunk before as broken.
func chunks(data string) (starts []int, broken map[int]bool) {
	broken = map[int]bool{}
	s := scan{data: data}
	starts = []int{0}
	for s.pos < len(data) {
		lineStart := s.pos == 0 || data[s.pos-1] == '\n' || data[s.pos-1] == '\r'
		if c := data[s.pos]; lineStart && !s.inString && !s.inComment && startsStatement(c, data[s.pos:], len(s.frames) == 0) {
			if len(s.frames) > 0 {
				broken[starts[len(starts)-1]] = true
				s.frames = nil
			}
			if s.pos > 0 {
				starts = append(starts, s.pos)
			}
		}
		s.step(len(data))
	}
	if len(s.frames) > 0 || s.inString {
		broken[starts[len(starts)-1]] = true
	}
	return starts, broken
}

// startsStatement reports whether a line starts a top-level statement. Outside
// of brackets, an opening bracket does so, too.
func startsStatement(c byte, line string, outside bool) bool {
	switch {
	case isNameByte(c), c == '"', c == '\'':
	case outside && (c == '(' || c == '[' || c == '{'):
	default:
		return false
	}
	word := line
	for i := 0; i < len(line) && i < 8; i++ {
		if !isNameByte(line[i]) {
			word = line[:i]
			break
		}
	}
	return word != "else" && word != "elif"
}

// blank replaces a part of data with spaces, line by line.
func blank(data []byte, start, end int) {
	for i := start; i < end; i++ {
		if data[i] != '\n' && data[i] != '\r' {
			data[i] = ' '
		}
	}
}
