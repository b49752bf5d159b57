// Package explain has what to write instead of what is wrong in a Pipelinefile.
package explain

import (
	"errors"

	"github.com/pipelinefile/pipe/internal/bounded"
)

// An Error is an error with a hint.
type Error struct {
	Msg  string
	Hint string // what to write instead, such as: write image = "nginx:1.27"
	// Suggest is what was probably meant instead of what is written; the hint is then
	// the question whether it was.
	Suggest string
}

func (e *Error) Error() string { return e.Msg }

// Of returns the first error in the chain of err that has its message and its hint
// apart, or nil.
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
