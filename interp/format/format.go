// Package format formats Pipelinefiles and modules in one style.
//
// It changes only the layout: no string, no order, no name. The result is
// parsed again and compared with the source, so that a bug in the printer is an
// error and never a changed pipeline.
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

// passes limits how often a file is printed until the result is stable. The
// printer needs a second pass for some comments.
const passes = 4

// Source returns src formatted. Its names need not be defined. The error for a
// file that cannot be parsed is an *interp.Error with positions in the file
// name; src is within the limits of L4 in that case, too.
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
	return nil, failure(name, "formatting does not converge")
}

// parses returns an error if src does not parse.
func parses(name string, src []byte) error {
	tree, found := interp.Check(context.Background(), name, src, interp.Options{})
	if tree == nil {
		return &interp.Error{Diagnostics: found}
	}
	return nil
}

// pass formats src once.
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

// requote changes a single-quoted string that is not all ASCII to double
// quotes. The printer does so for other strings, but writes non-ASCII
// characters as octal escapes, which the language does not have. A string that
// contains a double quote keeps its single quotes.
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

// failure is the error for a valid file that cannot be formatted.
func failure(name, why string) error {
	return &interp.Error{Diagnostics: []plan.Diagnostic{{
		Severity: plan.SeverityError, Pos: plan.Pos{File: name, Line: 1, Col: 1},
		Message: "cannot format this file: " + why,
		Hint:    "the file is valid and is left unchanged",
	}}}
}
