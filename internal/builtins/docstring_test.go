package builtins_test

import (
	"testing"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
)

func TestDocstring(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"", ""},
		{"x = 1", ""},
		{"f()", ""},
		{`b"bytes"`, ""},
		{`"One."`, "One."},
		{"'''One.\n\n    Two.\n      deeper\n    '''", "One.\n\nTwo.\n  deeper"},
		{"'''\n  One.\r\n   \r\n\r\n    Two.\r\n'''", "One.\n\n\n  Two."},
		{"'''One.\nnot indented\n  at all'''", "One.\nnot indented\n  at all"},
	} {
		f, err := new(syntax.FileOptions).Parse("x.star", tt.src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := builtins.Docstring(f.Stmts); got != tt.want {
			t.Errorf("Docstring(%q) = %q, want %q", tt.src, got, tt.want)
		}
	}
}
