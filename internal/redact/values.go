package redact

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Values redacts the values of secrets in strings. The zero Values redacts nothing. It
// is safe for concurrent use.
//
// A value is searched for line by line, and in the forms in which programs print
// it: quoted, in a URL, in base64. An ordinary word is redacted only where
// it is a separate word: a secret "harbor" does not change harbor-registry-0.
type Values struct {
	mu    sync.RWMutex
	forms map[[shortest]byte][]form // by how they begin; guarded by mu
}

// A form is a form in which a value may be printed.
type form struct {
	text string
	word bool // it is redacted only as a separate word
}

// A Weakness is the reason why a value is not redacted: it would be found in nearly
// all output.
type Weakness string

// The weaknesses of values.
const (
	Short  Weakness = "it has fewer than 4 characters"
	Common Weakness = "it is a word or a number that output is full of"
)

// shortest is the length of the shortest string that is searched for, in bytes.
const shortest = 4

// common are words that occur in nearly every output, so that redacting them is useless.
var common = []string{
	"true", "false", "null", "none", "root", "user", "admin", "test", "default", "password", "secret", "localhost", "latest", "http", "https",
	"postgres", "postgresql", "mysql", "redis", "mongo", "mongodb", "info", "debug", "warn", "error", "data", "main", "prod", "production", "staging", "development",
}

// Public reports whether a key of credentials has a value that is not
// secret, such as a user name, which is often the same everywhere.
func Public(key string) bool {
	return slices.Contains([]string{"user", "username", "host", "port", "database"}, strings.ToLower(key))
}

// Add makes v redact a value from now on. If the value cannot be redacted, it returns
// why. The empty value needs no redaction.
func (v *Values) Add(value string) Weakness {
	weak := Weakness("")
	var found []form
	for line := range strings.Lines(value) {
		switch line = strings.TrimSpace(line); {
		case line == "":
		case len(line) < shortest:
			weak = Short
		case slices.Contains(common, strings.ToLower(line)), len(line) < 6 && digits(line):
			weak = Common
		default:
			found = append(found, form{line, ordinary(line)})
		}
	}
	if len(found) == 0 {
		return weak
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.forms == nil {
		v.forms = make(map[[shortest]byte][]form)
	}
	for _, text := range append(printed(value), printed(strings.TrimSpace(value))...) {
		found = append(found, form{text: text})
	}
	for _, f := range found {
		start := [shortest]byte([]byte(f.text))
		if !slices.ContainsFunc(v.forms[start], func(other form) bool { return other.text == f.text }) {
			v.forms[start] = append(v.forms[start], f)
		}
	}
	return ""
}

// printed returns the forms in which programs may print a value on one line.
func printed(value string) []string {
	quoted := strconv.Quote(value)
	inJSON, _ := json.Marshal(value) // marshalling a string cannot fail
	return []string{
		quoted[1 : len(quoted)-1], string(inJSON[1 : len(inJSON)-1]), url.QueryEscape(value), url.PathEscape(value),
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(value)), "="), strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(value)), "="),
	}
}

// ordinary reports whether s may be an ordinary word: it consists of letters.
func ordinary(s string) bool {
	return len(s) <= 16 && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) }) < 0
}

// Except returns a function that redacts the values in a string, including values that
// are added later, but never changes the given names.
func (v *Values) Except(names ...string) func(string) string {
	n := &exceptions{names: slices.Clone(names), having: make(map[string][]string)}
	return func(text string) string { return v.cut(text, n) }
}

func (v *Values) cut(text string, names *exceptions) string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var found []span
	kept := map[string][]span{} // by form: the names in text that contain it
	for at := range max(0, len(text)-shortest+1) {
		for _, f := range v.forms[[shortest]byte([]byte(text[at:at+shortest]))] {
			s := span{at, at + len(f.text)}
			if !strings.HasPrefix(text[at:], f.text) || f.word && !alone(text, s) {
				continue
			}
			if _, ok := kept[f.text]; !ok {
				kept[f.text] = names.in(text, f.text)
			}
			if !slices.ContainsFunc(kept[f.text], func(k span) bool { return k.from <= s.from && s.to <= k.to }) {
				found = append(found, s)
			}
		}
	}
	if len(found) == 0 {
		return text
	}
	var b strings.Builder
	done := 0
	for i := 0; i < len(found); {
		s := found[i]
		for i++; i < len(found) && found[i].from < s.to; i++ { // merge overlapping ones
			s.to = max(s.to, found[i].to)
		}
		b.WriteString(text[done:s.from])
		b.WriteString(Mark)
		done = s.to
	}
	b.WriteString(text[done:])
	return b.String()
}

// exceptions are names that are not redacted.
type exceptions struct {
	names []string

	mu     sync.Mutex
	having map[string][]string // the names that contain a form; guarded by mu
}

// in returns the positions in text of the names that contain a form.
func (e *exceptions) in(text, form string) []span {
	e.mu.Lock()
	names, ok := e.having[form]
	if !ok {
		for _, name := range e.names {
			if strings.Contains(name, form) {
				names = append(names, name)
			}
		}
		e.having[form] = names
	}
	e.mu.Unlock()
	var found []span
	for _, name := range names {
		for at := 0; ; {
			i := strings.Index(text[at:], name)
			if i < 0 {
				break
			}
			found = append(found, span{at + i, at + i + len(name)})
			at += i + 1
		}
	}
	return found
}

// alone reports whether a part of text is a separate word: it has no letter, digit,
// "-" or "_" next to it. The end of an escape such as \n does not count.
func alone(text string, s span) bool {
	part := func(r rune) bool { return r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	after, _ := utf8.DecodeRuneInString(text[s.to:])
	before, n := utf8.DecodeLastRuneInString(text[:s.from])
	escape := s.from > n && text[s.from-n-1] == '\\'
	return !part(after) && (!part(before) || escape)
}
