package format

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.starlark.net/syntax"
)

// dialect is as wide as the parser can be: what is allowed was checked before.
var dialect = syntax.FileOptions{Set: true, TopLevelControl: true, GlobalReassign: true, While: true, Recursion: true}

// same reports that two texts are not the same program, or have not the same comments.
func same(name string, before, after []byte) error {
	was, err := dialect.Parse(name, before, syntax.RetainComments)
	if err != nil {
		return failure(name, err.Error())
	}
	is, err := dialect.Parse(name, after, syntax.RetainComments)
	if err != nil {
		return failure(name, "what came out is wrong: "+err.Error())
	}
	x, y := shapeOf(was), shapeOf(is)
	if !slices.Equal(x.words, y.words) {
		return failure(name, "what came out is another program")
	}
	slices.Sort(x.comments)
	slices.Sort(y.comments)
	if !slices.Equal(x.comments, y.comments) {
		return failure(name, "a comment would be lost")
	}
	return nil
}

// A shape is a program without its layout.
type shape struct {
	words    []string
	comments []string
}

func shapeOf(f *syntax.File) *shape {
	s := &shape{}
	s.add(reflect.ValueOf(f.Stmts))
	s.note(f)
	return s
}

var position = reflect.TypeFor[syntax.Position]()

// add adds all below v that has a meaning. Positions and parentheses have none,
// nor how a literal is written.
func (s *shape) add(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			s.words = append(s.words, "nil")
			return
		}
		s.add(v.Elem())
	case reflect.Pointer:
		n := v.Interface().(syntax.Node)
		s.note(n)
		switch n := n.(type) {
		case *syntax.ParenExpr:
			s.add(reflect.ValueOf(n.X))
		case *syntax.Literal:
			s.words = append(s.words, fmt.Sprintf("%s %q", n.Token, fmt.Sprint(n.Value)))
		case *syntax.Ident:
			s.words = append(s.words, n.Name)
		default:
			s.add(v.Elem())
		}
	case reflect.Slice:
		s.words = append(s.words, fmt.Sprintf("%s %d", v.Type(), v.Len()))
		for i := range v.Len() {
			s.add(v.Index(i))
		}
	case reflect.Struct:
		s.words = append(s.words, v.Type().Name())
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Type != position && f.Name != "Function" {
				s.add(v.Field(i))
			}
		}
	default: // a Token, a bool
		s.words = append(s.words, fmt.Sprintf("%#v", v.Interface()))
	}
}

// note adds the comments of a node.
func (s *shape) note(n syntax.Node) {
	c := n.Comments()
	if c == nil {
		return
	}
	for _, list := range [][]syntax.Comment{c.Before, c.Suffix, c.After} {
		for _, one := range list {
			s.comments = append(s.comments, strings.TrimSpace(one.Text))
		}
	}
}
