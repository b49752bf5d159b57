package builtins

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/plan"
)

// A Source is one parsed file of the evaluation. It finds the positions of calls only
// when they are needed: at a call, the interpreter only knows the position of the opening
// parenthesis.
type Source struct {
	Name    string // as positions show it: a path below the workspace's root, or "@std//web.star"
	Library bool   // not a file of the workspace
	text    []byte
	order   int   // position in the order of loading; the Pipelinefile is 0
	marks   []int // offsets of every marked-th line, see mark; nil: not computed yet
	calls   map[uint64]*syntax.CallExpr
	defs    map[string]*syntax.DefStmt
}

// NewSource returns the source of a file. The tree must not be rewritten afterward.
func NewSource(name string, library bool, text []byte, tree *syntax.File) *Source {
	s := &Source{Name: name, Library: library, text: text}
	if tree == nil {
		return s
	}
	s.calls, s.defs = map[uint64]*syntax.CallExpr{}, map[string]*syntax.DefStmt{}
	syntax.Walk(tree, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CallExpr:
			s.calls[key(n.Lparen)] = n
		case *syntax.DefStmt:
			s.defs[n.Name.Name] = n
		}
		return true
	})
	return s
}

// Params returns the names of the parameters of a function that the file defines, or nil
// if it does not define it.
func (s *Source) Params(function string) []string {
	def := s.defs[function]
	if def == nil {
		return nil
	}
	var names []string
	for _, p := range def.Params {
		switch p := p.(type) {
		case *syntax.Ident:
			names = append(names, p.Name)
		case *syntax.BinaryExpr:
			names = append(names, p.X.(*syntax.Ident).Name)
		}
	}
	return names
}

func key(p syntax.Position) uint64 { return uint64(uint32(p.Line))<<32 | uint64(uint32(p.Col)) }

func (s *Source) pos(p syntax.Position) plan.Pos {
	return plan.Pos{File: s.Name, Line: int(p.Line), Col: int(p.Col)}
}

// Pos returns p, or the start of the call if p is the parenthesis of a call.
func (s *Source) Pos(p syntax.Position) plan.Pos {
	if call := s.calls[key(p)]; call != nil {
		p = syntax.Start(call)
	}
	return s.pos(p)
}

// maxLine is the maximum length in bytes of a line in a diagnostic.
const maxLine = 2000

// Line returns the text of line n, counted from 1, or "" if the line does not exist or is
// too long to be shown.
func (s *Source) Line(n int) string {
	if n < 1 {
		return ""
	}
	s.mark()
	k := (n - 1) / marked
	if k >= len(s.marks) {
		return ""
	}
	rest := s.text[s.marks[k]:]
	for n -= k * marked; n > 1; n-- {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return ""
		}
		rest = rest[i+1:]
	}
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	if len(rest) > maxLine || !utf8.Valid(rest) {
		return ""
	}
	return strings.TrimRight(string(rest), "\r")
}

// marked is the number of lines between two entries of marks.
const marked = 256

// mark computes the offset of every marked-th line, once.
func (s *Source) mark() {
	if s.marks != nil {
		return
	}
	s.marks = []int{0}
	line := 0
	for at := 0; ; {
		i := bytes.IndexByte(s.text[at:], '\n')
		if i < 0 {
			return
		}
		at += i + 1
		if line++; line%marked == 0 {
			s.marks = append(s.marks, at)
		}
	}
}
