package bounded

// An Error is the refusal of a program that takes more than it may.
type Error struct {
	Msg  string
	Hint string // what to write instead; may be empty
}

func (e *Error) Error() string { return e.Msg }
