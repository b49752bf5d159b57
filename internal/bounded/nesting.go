package bounded

import (
	"fmt"

	"go.starlark.net/syntax"
)

// The parser, the resolver and the compiler are recursive, and Go cannot recover from an
// exhausted stack. So the source is checked before it is parsed, and the tree before it
// is traversed.
const (
	maxTextDepth = 500  // brackets and prefix operators
	maxTreeDepth = 1000 // of syntax
)

// Tokens returns the number of tokens in text. If text cannot be parsed because it is
// nested too deep or a number is too long, it also returns the error and its line. It
// knows strings and comments. Each line counts as three additional tokens, for its
// statement, and each character of an operator as one token.
func Tokens(text []byte) (tokens, line int, wrong error) {
	type level struct {
		prefixes, words int
		params          bool // of a lambda: a comma ends nothing
	}
	levels := []level{{}}
	line = 1
	sum := 0
	for i := 0; i < len(text); i++ {
		top := &levels[len(levels)-1]
		c := text[i]
		if c > ' ' {
			tokens++
		}
		switch c {
		case '\n':
			line++
			tokens += 3 // a statement
			if len(levels) == 1 {
				sum -= top.prefixes + top.words
				*top = level{}
			}
		case '#':
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case '"', '\'':
			end := StringEnd(text, i)
			for ; i < end; i++ {
				if text[i] == '\n' {
					line++
				}
			}
		case '(', '[', '{':
			levels = append(levels, level{})
			sum++
		case ')', ']', '}':
			if len(levels) > 1 {
				levels = levels[:len(levels)-1]
				sum -= top.prefixes + top.words + 1
				levels[len(levels)-1].prefixes++ // f(…)(…)(…)
				sum++
			}
		case ':':
			top.params = false
		case ',':
			if !top.params {
				sum -= top.prefixes + top.words
				*top = level{}
			}
		case '+', '-', '~', '*', '/', '%', '.', '&', '|', '^', '<', '>':
			top.prefixes++
			sum++
		default:
			if !letter(c) {
				continue
			}
			start := i
			for i+1 < len(text) && letter(text[i+1]) {
				i++
			}
			if text[start] <= '9' && i-start >= MaxDigits {
				return tokens, line, numberTooLong()
			}
			switch string(text[start : i+1]) {
			case "not", "and", "or", "in":
				top.prefixes++
				sum++
			case "lambda", "else":
				top.words++
				sum++
				top.params = text[i] == 'a'
			}
		}
		if sum > maxTextDepth {
			return tokens, line, tooNested()
		}
	}
	return tokens, line, nil
}

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// StringEnd returns the index of the last byte of the string that starts at i.
func StringEnd(text []byte, i int) int {
	quote := text[i]
	triple := i+2 < len(text) && text[i+1] == quote && text[i+2] == quote
	if triple {
		i += 2
	}
	for i++; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == '\n' && !triple:
			return i - 1
		case text[i] == quote && !triple:
			return i
		case text[i] == quote && i+2 < len(text) && text[i+1] == quote && text[i+2] == quote:
			return i + 2
		}
	}
	return len(text) - 1
}

// CheckTree returns an error and its position if a tree is nested too deep.
func CheckTree(tree *syntax.File) (at syntax.Position, wrong error) {
	depth := 0
	syntax.Walk(tree, func(n syntax.Node) bool {
		if n == nil {
			depth--
			return true
		}
		if depth > maxTreeDepth {
			if !at.IsValid() {
				at = syntax.Start(leftmost(n))
			}
			return false
		}
		depth++
		return true
	})
	if at.IsValid() {
		wrong = tooNested()
	}
	return at, wrong
}

// leftmost avoids calling Start, which descends a deep tree.
func leftmost(n syntax.Node) syntax.Node {
	for {
		switch x := n.(type) {
		case *syntax.BinaryExpr:
			n = x.X
		case *syntax.DotExpr:
			n = x.X
		case *syntax.CallExpr:
			n = x.Fn
		case *syntax.IndexExpr:
			n = x.X
		case *syntax.SliceExpr:
			n = x.X
		case *syntax.CondExpr:
			n = x.True
		default:
			return n
		}
	}
}

func tooNested() error {
	return &Error{
		Msg:  fmt.Sprintf("the string is nested too deeply: at most %d levels are possible", maxTextDepth),
		Hint: "give a part of it a name, or keep the data in a file: read_json(…), read_yaml(…)",
	}
}

func numberTooLong() error {
	return &Error{Msg: fmt.Sprintf("a number has at most %d digits", MaxDigits)}
}
