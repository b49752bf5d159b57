package runtime

import "errors"

// An Advice says what to do about an error. Whoever returns an error knows this best, so
// the advice travels with it, and nobody searches the words of the error.
type Advice struct {
	// Do is what to do, without a period at its end, such as: start it, or name another one.
	Do string
	// Options are the fields of the Options of package local that help, such as
	// "Registry". A command shows its flags for them.
	Options []string
}

// Advise returns err with advice. Its text is that of err.
func Advise(err error, advice Advice) error { return &advisedError{err, advice} }

// AdviceOf returns the advice of the first error in the tree of err that has some: one
// with a method Advice.
func AdviceOf(err error) (advice Advice, ok bool) {
	var advised adviser
	if !errors.As(err, &advised) {
		return Advice{}, false
	}
	return advised.Advice(), true
}

type adviser interface {
	error
	Advice() Advice
}

type advisedError struct {
	err    error
	advice Advice
}

func (e *advisedError) Error() string  { return e.err.Error() }
func (e *advisedError) Unwrap() error  { return e.err }
func (e *advisedError) Advice() Advice { return e.advice }
