// Package explain says how to fix mistakes in a Pipelinefile: in the arguments of a
// builtin (params.go, values.go), in syntax and names taken from other languages
// (parsehints.go, otherlanguages.go), and in what the resolver and the interpreter report
// (messages.go).
package explain

import (
	"errors"
	"fmt"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/misspell"
)

// An Error is an error with a hint.
type Error struct {
	Msg  string
	Hint string // what to write instead, such as: write image = "nginx:1.27"
	// Suggest is what was probably meant instead of what is written. The hint then asks
	// whether it was meant.
	Suggest string
	// At is the place in an argument: an index of a list, a key of a dict, a [Key], or a
	// path of these as []any. If nil, the error is about the whole argument.
	At any
}

// A Key addresses the key of an entry of a dict; a plain string addresses its value.
type Key string

// Errorf returns an error without a hint.
func Errorf(format string, args ...any) *Error { return &Error{Msg: fmt.Sprintf(format, args...)} }

func (e *Error) Error() string { return e.Msg }

// In returns e, if any, as an error of the element at of an argument.
func (e *Error) In(at any) *Error {
	if e != nil {
		e.At = at
	}
	return e
}

// About returns e as an error about the argument of param: with its name, and the place in it.
func (e *Error) About(param string) *Error {
	about := *e
	about.Msg = param + Elem(e.At) + ": " + e.Msg
	return &about
}

// Near suggests the candidate that name is probably a misspelling of. If there is none,
// the hint is other.
func (e *Error) Near(name string, candidates []string, other string) *Error {
	e.Hint, e.Suggest = other, misspell.Nearest(name, candidates)
	return e
}

// WithHint returns e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Elem formats a place in an argument: [2], ["KEY"], ["a"][0].
func Elem(at any) string {
	switch at := at.(type) {
	case int:
		return fmt.Sprintf("[%d]", at)
	case string:
		return fmt.Sprintf("[%q]", Clip(at))
	case Key:
		return Elem(string(at))
	case []any:
		out := ""
		for _, a := range at {
			out += Elem(a)
		}
		return out
	}
	return ""
}

// Clip shortens s for a message.
func Clip(s string) string {
	const maxClip = 60 // characters
	n := 0
	for i := range s {
		if n == maxClip {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// Of returns the first error in the chain of err that has a separate message and hint, or
// nil.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var limit *bounded.Error
	if errors.As(err, &limit) {
		return &Error{Msg: limit.Msg, Hint: limit.Hint}
	}
	return nil
}
