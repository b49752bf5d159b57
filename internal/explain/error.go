// Package explain has what to write instead of what is wrong in a Pipelinefile.
package explain

import (
	"errors"

	"github.com/pipelinefile/pipe/internal/bounded"
)

// An Error is an error with a hint.
type Error struct {
	Msg  string
	Hint string // what to write instead, such as: did you mean "web"?
}

func (e *Error) Error() string { return e.Msg }

// Of returns the message and the hint of the first error in the chain of err that has them
// apart; ok reports whether there is one.
func Of(err error) (message, hint string, ok bool) {
	var e *Error
	if errors.As(err, &e) {
		return e.Msg, e.Hint, true
	}
	var limit *bounded.Error
	if errors.As(err, &limit) {
		return limit.Msg, limit.Hint, true
	}
	return "", "", false
}
