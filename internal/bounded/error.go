package bounded

// An Error says that a program exceeds a limit.
type Error struct {
	Msg  string
	Hint string // what to write instead; may be empty
}

func (e *Error) Error() string { return e.Msg }
