package plan

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Pos is a position in a source file. Line and Col count from 1, Col in
// runes. The zero Pos means no position.
type Pos struct {
	File string `json:"file,omitempty"` // slash-separated, below the workspace's root; "@std//x.star" for a module of a library
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
}

// String returns "FILE:LINE:COL", without the parts that are unknown.
func (p Pos) String() string {
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
		if p.Col > 0 {
			s += ":" + strconv.Itoa(p.Col)
		}
	}
	return s
}

// IsZero reports whether p is the zero position.
func (p Pos) IsZero() bool { return p == Pos{} }

// A Severity orders diagnostics.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// A Diagnostic is one message about a source file. It includes the source line
// that it points to, so that it can be shown without the file.
type Diagnostic struct {
	Severity Severity  `json:"severity"`
	Pos      Pos       `json:"pos"`
	Message  string    `json:"message"`           // without position, lower case
	Line     string    `json:"line,omitempty"`    // the source line
	Hint     string    `json:"hint,omitempty"`    // such as: did you mean "stage"?
	Suggest  string    `json:"suggest,omitempty"` // what was probably meant instead of what is at Pos, such as stage
	Related  []Related `json:"related,omitempty"` // such as the earlier declaration
	Stack    []Frame   `json:"stack,omitempty"`   // Starlark calls, outermost first
	Rule     string    `json:"rule,omitempty"`    // the rule of pipe lint that also reports it; empty: none
}

// A Related is another position that a diagnostic refers to.
type Related struct {
	Pos     Pos    `json:"pos"`
	Message string `json:"message"`
	Line    string `json:"line,omitempty"` // the source line
}

// A Frame is one Starlark call.
type Frame struct {
	Name string `json:"name"`
	Pos  Pos    `json:"pos"`
}

// String returns d as it is shown, without a trailing newline:
//
//	Pipelinefile:4:1: application: service "web" is already declared
//	    application("web")
//	    ^
//	Pipelinefile:3:1: declared here
//	    application("web")
//	    ^
//
// A hint follows the source line, and the calls that led there come last.
func (d Diagnostic) String() string {
	var b strings.Builder
	kind := ""
	if d.Severity == SeverityWarning {
		kind = "warning: "
	}
	excerpt(&b, d.Pos, kind+d.Message, d.Line)
	if d.Hint != "" {
		b.WriteString("\n    " + strings.ReplaceAll(d.Hint, "\n", "\n    "))
	}
	for _, r := range d.Related {
		b.WriteByte('\n')
		excerpt(&b, r.Pos, r.Message, r.Line)
	}
	if len(d.Stack) > 0 {
		b.WriteString("\nstack:")
		for _, f := range d.Stack {
			b.WriteString("\n    " + f.Pos.String() + ": in " + f.Name)
		}
	}
	return b.String()
}

// widest is the maximum length of a source line that is shown, in characters.
const widest = 120

// excerpt writes a message with its position, and the line with a caret.
func excerpt(b *strings.Builder, pos Pos, message, line string) {
	if !pos.IsZero() {
		b.WriteString(pos.String() + ": ")
	}
	b.WriteString(message)
	if strings.TrimSpace(line) == "" {
		return
	}
	text, col := []rune(line), min(max(pos.Col-1, 0), utf8.RuneCountInString(line))
	if from := col - widest/2; len(text) > widest && from > 0 {
		text, col = append([]rune("…"), text[from:]...), col-from+1
	}
	if len(text) > widest {
		text = append(text[:widest:widest], '…')
	}
	// The indentation carries no information.
	indent := 0
	for indent < col && (text[indent] == ' ' || text[indent] == '\t') {
		indent++
	}
	b.WriteString("\n    " + string(text[indent:]))
	if pos.Col > 0 {
		b.WriteString("\n    ")
		for _, r := range text[indent:col] {
			if r != '\t' { // a tab is as wide as the terminal has it
				r = ' '
			}
			b.WriteRune(r)
		}
		b.WriteByte('^')
	}
}
