package plan

import "strconv"

// A Pos is a position in a source file. Line and Col count from 1, Col in
// runes. The zero Pos means that there is none.
type Pos struct {
	File string `json:"file,omitempty"` // slash-separated, below the workspace's root; "@std//x.star" for a module of a library
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
}

// String returns "FILE:LINE:COL", without the parts that are not known.
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

// IsZero reports whether p is no position.
func (p Pos) IsZero() bool { return p == Pos{} }

// A Severity orders diagnostics.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// A Diagnostic is one message about a source file. It carries the text that it
// points at, so that it can be shown without the file.
type Diagnostic struct {
	Severity Severity  `json:"severity"`
	Pos      Pos       `json:"pos"`
	Message  string    `json:"message"`           // without position, lower case
	Line     string    `json:"line,omitempty"`    // the source line
	Hint     string    `json:"hint,omitempty"`    // such as: did you mean "stage"?
	Related  []Related `json:"related,omitempty"` // such as the earlier declaration
	Stack    []Frame   `json:"stack,omitempty"`   // Starlark calls, outermost first
}

// A Related points at another place that a diagnostic is about.
type Related struct {
	Pos     Pos    `json:"pos"`
	Message string `json:"message"`
}

// A Frame is one Starlark call.
type Frame struct {
	Name string `json:"name"`
	Pos  Pos    `json:"pos"`
}
