package kubepatch

import (
	_ "embed"
	"strings"
)

// fieldsText lists the fields of the objects that generated charts can have, by type. The
// tests of runtime/chart write it from the types of Kubernetes.
//
//go:embed fields.txt
var fieldsText string

// A field is a field of a Kubernetes type.
type field struct {
	name string
	form form
}

// A form is the form of a field: one of bool, int, string, any and quantity, or the name
// of a type, with []  before it for a list and {} for a map; a list whose elements are
// merged by a key has that after a slash.
type form string

// list returns the form of the elements of a list, and the key that they are merged by.
func (f form) list() (elem form, key string, ok bool) {
	text, ok := strings.CutPrefix(string(f), "[]")
	text, key, _ = strings.Cut(text, "/")
	return form(text), key, ok
}

// dict returns the form of the values of a map.
func (f form) dict() (elem form, ok bool) {
	text, ok := strings.CutPrefix(string(f), "{}")
	return form(text), ok
}

// fields returns the fields of a type, or nil if f is not one.
func (f form) fields() []field {
	_, rest, ok := strings.Cut("\n"+fieldsText, "\n"+string(f)+" ")
	if !ok {
		return nil
	}
	line, _, _ := strings.Cut(rest, "\n")
	var list []field
	for w := range strings.FieldsSeq(line) {
		name, of, _ := strings.Cut(w, ":")
		list = append(list, field{name, form(of)})
	}
	return list
}

// Kinds returns the kinds of objects that generated charts can have, sorted.
func Kinds() []string {
	var kinds []string
	for line := range strings.Lines(fieldsText) {
		name, fields, _ := strings.Cut(line, " ")
		if strings.HasPrefix(fields, "kind:string apiVersion:string metadata:ObjectMeta ") {
			kinds = append(kinds, name)
		}
	}
	return kinds
}
