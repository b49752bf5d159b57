package bounded

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// MaxModule is the maximum size of a module in bytes (L4). Formatting or linting one
// takes more than ten times its size.
const MaxModule = 4 << 20

// ErrModuleSize is the error of a module that is larger than MaxModule.
var ErrModuleSize error = &Error{
	Msg:  fmt.Sprintf("the file is larger than the limit of %d MiB", MaxModule>>20),
	Hint: "keep data in a file: read_json(…), read_yaml(…)",
}

// CheckModule returns what is wrong with the bytes of a module, and its position, counted
// from 1: too many bytes, a NUL byte, which the parser takes for the end of the file, or
// bytes that are not valid UTF-8.
func CheckModule(text []byte) (line, col int, wrong error) {
	if len(text) > MaxModule {
		return 1, 1, ErrModuleSize
	}
	if utf8.Valid(text) && bytes.IndexByte(text, 0) < 0 {
		return 0, 0, nil
	}
	line, col = 1, 1
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == 0:
			return line, col, &Error{Msg: "the file has a NUL byte", Hint: "remove it; if the file is in UTF-16, save it as UTF-8"}
		case r == utf8.RuneError && size == 1:
			return line, col, &Error{Msg: "the file is not valid UTF-8"}
		case r == '\n':
			line, col = line+1, 0
		}
		col++
		text = text[size:]
	}
	return 0, 0, nil
}
