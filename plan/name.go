package plan

import (
	"fmt"
	"strings"
	"unicode"
)

// The longest names, in characters.
const (
	MaxName        = 63  // of an environment and of a namespace, as Kubernetes has it
	MaxServiceName = 53  // of a service and of a pipeline: objects have the name of the service with a suffix
	MaxVolumeName  = 40  // of a volume: its claim has the name of the service, too
	MaxSubdomain   = 253 // of a DNS subdomain (RFC 1123), such as the name of most objects, and a host
)

// CheckName returns a [*NameError] if name is not a DNS label (RFC 1123) of at most
// limit characters: lower-case letters, digits and hyphens, with a letter or digit at
// both ends.
func CheckName(name string, limit int) error {
	if len(name) > limit || !isLabel(name) {
		return &NameError{Name: name, Max: limit}
	}
	return nil
}

// CheckEnvironment returns an error that wraps a [*NameError] if the name of an
// environment is not valid, or that of its default namespace is too long. If pipeline is
// empty, the namespace is not checked.
func CheckEnvironment(pipeline, environment string) error {
	if err := CheckName(environment, MaxName); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	if namespace := Namespace(pipeline, environment); pipeline != "" && len(namespace) > MaxName {
		return fmt.Errorf("the namespace %w", &NameError{Name: namespace, Max: MaxName})
	}
	return nil
}

// isLabel reports whether name is a DNS label, whatever its length.
func isLabel(name string) bool {
	for i := range len(name) {
		if c := name[i]; !alphanumeric(rune(c)) && (c != '-' || i == 0 || i == len(name)-1) {
			return false
		}
	}
	return name != ""
}

func alphanumeric(c rune) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// A NameError is a name that is not valid.
type NameError struct {
	Name string
	Max  int // how many characters it may have
}

func (e *NameError) Error() string {
	shown := e.Name
	if len(shown) > widest {
		shown = strings.ToValidUTF8(shown[:widest], "") + "…"
	}
	switch {
	case e.Name == "":
		return "is empty"
	case len(e.Name) > e.Max:
		return fmt.Sprintf("%q has %d characters, at most %d are possible", shown, len(e.Name), e.Max)
	}
	return fmt.Sprintf("%q is not a valid name: use lower-case letters, digits and hyphens, with a letter or digit at both ends", shown)
}

// Suggestion returns a valid name like the one of e, or "" if that is too long or has
// nothing to make one of.
func (e *NameError) Suggestion() string {
	if len(e.Name) > e.Max {
		return ""
	}
	return NameFrom(e.Name, e.Max)
}

// NameFrom returns a valid name of at most limit characters made of text, with a hyphen
// for what a name cannot have, or "" if text has nothing else.
func NameFrom(text string, limit int) string {
	var b strings.Builder
	hyphen := false
	for _, c := range text {
		c = unicode.ToLower(c)
		if !alphanumeric(c) {
			hyphen = b.Len() > 0
			continue
		}
		if hyphen && b.Len() < limit {
			b.WriteByte('-')
		}
		if hyphen = false; b.Len() >= limit {
			break
		}
		b.WriteRune(c)
	}
	return strings.TrimRight(b.String(), "-")
}
