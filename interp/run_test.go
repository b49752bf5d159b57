package interp_test

import (
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/interp"
)

// TestRun checks that a part of a Pipelinefile needs no plan, but that its declarations
// are checked.
func TestRun(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"container('a', image = 'x:1')":   "",
		"pipeline('x')\nx = 1\n":          "",
		"container('a', imag = 'x:1')":    "Pipelinefile:1:16: container: no parameter \"imag\"\n    container('a', imag = 'x:1')\n                   ^\n    did you mean \"image\"?",
		"pipeline('x')\nfail('no')\nx = ": "Pipelinefile:3:5: ",
	} {
		err := interp.Run(t.Context(), write(t, "Pipelinefile", text), interp.Options{})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want && (want == "" || !strings.HasPrefix(got, want)) {
			t.Errorf("Run(%q) = %q, want %q", text, got, want)
		}
	}
}
