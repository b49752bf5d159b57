// Package format lays out the text of Pipelinefiles and modules in one way.
//
// It lays out and changes nothing else: no string, no order, no name. What it
// returns is parsed again and compared with what was given, so that a mistake
// of the printer is an error and never a changed pipeline.
package format

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/bazelbuild/buildtools/build"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// passes is how often a text is laid out until that changes nothing more. The
// printer needs a second pass for some comments.
const passes = 4

// Source returns src laid out. Its names need not be known. The error of a text
// that cannot be parsed is an *interp.Error, whose positions are in the file
// name; src is within the bounds of L4 then, too.
func Source(name string, src []byte) ([]byte, error) {
	if err := parses(name, src); err != nil {
		return nil, err
	}
	for range passes {
		out, err := pass(name, src)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(out, src) {
			return out, nil
		}
		if err := same(name, src, out); err != nil {
			return nil, err
		}
		src = out
	}
	return nil, failure(name, "it has no layout that stays as it is")
}

// parses reports why src is no text of the language.
func parses(name string, src []byte) error {
	tree, found := interp.Check(context.Background(), name, src, interp.Options{})
	if tree == nil {
		return &interp.Error{Diagnostics: found}
	}
	return nil
}

// pass lays out src once.
func pass(name string, src []byte) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, failure(name, fmt.Sprint(p))
		}
	}()
	tree, err := build.ParseDefault(name, src)
	if err != nil {
		return nil, failure(name, err.Error())
	}
	build.Walk(tree, requote)
	return build.FormatWithoutRewriting(tree), nil
}

// requote gives a text in single quotes double ones, if it is not all ASCII: the
// printer does so with the others, but writes what is not ASCII as octal escapes,
// which the language does not have. A text with a double quote in it keeps its
// single ones.
func requote(x build.Expr, _ []build.Expr) {
	s, ok := x.(*build.StringExpr)
	foreign := func(r rune) bool { return r >= utf8.RuneSelf }
	if !ok || !strings.HasPrefix(s.Token, "'") || strings.Contains(s.Value, `"`) || !strings.ContainsFunc(s.Value, foreign) {
		return
	}
	n := 1
	if s.TripleQuote {
		n = 3
	}
	s.Token = strings.Repeat(`"`, n) + s.Token[n:len(s.Token)-n] + strings.Repeat(`"`, n)
}

// failure is the error that a good text cannot be laid out.
func failure(name, why string) error {
	return &interp.Error{Diagnostics: []plan.Diagnostic{{
		Severity: plan.SeverityError, Pos: plan.Pos{File: name, Line: 1, Col: 1},
		Message: "this file cannot be laid out: " + why,
		Hint:    "it is left as it is; the file itself is right",
	}}}
}
