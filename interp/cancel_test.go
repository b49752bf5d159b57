package interp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/interp"
)

// TestLongNumbers checks that no number becomes so long that a step with it takes long
// (L4).
func TestLongNumbers(t *testing.T) {
	digits := strings.Repeat("9", 20_000)
	for src, want := range map[string]string{
		"x = " + digits:                                        "",
		"x = " + digits + "9":                                  "a number has at most 20000 digits",
		"x = int('9' * 20000)":                                 "",
		"x = int('9' * 20001)":                                 "the number would be larger than the limit of 20000 digits",
		"x = int('9' * 20000) * int('9' * 20000)":              "the number would be larger than the limit of 20000 digits",
		"x = json.decode('[' + '9' * 20001 + ']')":             "the number would be larger than the limit of 20000 digits",
		"x = json.decode('[\"' + '9' * 20001 + '\"]')":         "",
		"x = [1][int('9' * 20001)]":                            "the number would be larger than the limit of 20000 digits",
		"def f():\n  x = 3\n  for i in range(20): x *= x":      "",
		"def f():\n  x = 3\n  for i in range(20): x *= x\nf()": "the number would be larger than the limit of 20000 digits",
	} {
		_, err := interp.Eval(t.Context(), write(t, "Pipelinefile", "pipeline('p')\n"+src+"\n"), interp.Options{})
		var wrong *interp.Error
		switch {
		case want == "" && err != nil:
			t.Errorf("%.60s: %.300v", src, err)
		case want == "":
		case !errors.As(err, &wrong) || wrong.Diagnostics[0].Message != want || wrong.Diagnostics[0].Pos.Line < 2:
			t.Errorf("%.60s: %.300v, want %s", src, err, want)
		}
	}
}
