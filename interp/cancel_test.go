package interp_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/interp"
)

// TestCancelStep: evaluation does not wait for the end of a single step when its
// context ends (L4). How long a step takes is measured here, on this machine.
func TestCancelStep(t *testing.T) {
	for _, src := range []string{
		`x = ("x " * 4000000).split()`,
		`x = str(b"\xff" * 10000000)`,
		`x = repr(b"\xff" * 10000000)`,
		`x = ("x" * 60000000)[::-1]`,
		`x = ("x" * 20000000).replace("x", "y")`,
		`x = len(zip([1] * 1000000, [2] * 1000000))`,
	} {
		main := write(t, "Pipelinefile", "pipeline('p')\n"+src+"\n")
		eval := func(ctx context.Context) error {
			_, err := interp.Eval(ctx, main, interp.Options{Limits: interp.Limits{Steps: 1 << 60}})
			return err
		}
		start := time.Now()
		if err := eval(t.Context()); err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		whole := time.Since(start)
		after, late := whole/2, whole
		for attempt := 0; attempt < 20 && late > whole/4; attempt++ {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan time.Time, 1)
			time.AfterFunc(after, func() { ended <- time.Now(); cancel() })
			err := eval(ctx)
			switch {
			case err == nil: // the machine is less busy now
				after /= 2
				cancel()
			case errors.Is(err, context.Canceled):
				late = min(late, time.Since(<-ended))
			default:
				t.Fatalf("%s: %v", src, err)
			}
		}
		t.Logf("%s takes %s, and ends %s after its context", src, whole, late)
		if late > whole/4 {
			t.Errorf("%s takes %s, and ends %s after its context: it waits for the step", src, whole, late)
		}
	}
}

// TestLongNumbers: no number becomes so long that a step with it takes long (L4).
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
