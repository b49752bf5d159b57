package plan

import (
	"errors"
	"strings"
	"testing"
)

// TestNames: which names are valid, and what is suggested for those that are not.
func TestNames(t *testing.T) {
	for _, test := range []struct {
		name, suggestion string
		ok               bool
	}{
		{"a", "", true}, {"a-b", "", true}, {"0", "", true}, {strings.Repeat("a", 20), "", true},
		{"", "", false}, {"-a", "a", false}, {"a-", "a", false}, {"A", "a", false}, {"a_.b", "a-b", false}, {"ä", "", false},
		{strings.Repeat("a", 21), "", false}, {strings.Repeat("ä", 200), "", false},
	} {
		err := CheckName(test.name, 20)
		if (err == nil) != test.ok {
			t.Errorf("CheckName(%q) = %v", test.name, err)
		} else if err != nil {
			var wrong *NameError
			if !errors.As(err, &wrong) || wrong.Suggestion() != test.suggestion || len(wrong.Error()) > 400 {
				t.Errorf("CheckName(%q) = %v, which does not suggest %q", test.name, err, test.suggestion)
			}
		}
	}
}

// TestNameFrom: what is made of any text is empty or a valid name.
func TestNameFrom(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"Feature/X", "feature-x"}, {"--a--b--", "a-b"}, {"", ""}, {"/", ""}, {"abcdefghi/j", "abcdefghi"}, {"abcdefgh/j", "abcdefgh-j"}, {"abcdefghijk", "abcdefghij"},
	} {
		got := NameFrom(test.text, 10)
		if got != test.want || got != "" && CheckName(got, 10) != nil {
			t.Errorf("NameFrom(%q, 10) = %q, want %q", test.text, got, test.want)
		}
	}
}

// TestCheckEnvironment: a name is checked by itself and as a part of its namespace.
func TestCheckEnvironment(t *testing.T) {
	long := strings.Repeat("a", 50)
	for _, test := range []struct{ pipeline, name, want string }{
		{"shop", "staging", ""}, {"", long, ""}, {long, "b", ""},
		{"shop", "", "environment: is empty"},
		{long, "production-of-it", "the namespace \"" + long + "-production-of-it\" has 67 characters, at most 63 are possible"},
	} {
		got := ""
		if err := CheckEnvironment(test.pipeline, test.name); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("CheckEnvironment(%q, %q) = %q, want %q", test.pipeline, test.name, got, test.want)
		}
	}
}
