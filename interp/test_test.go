package interp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// TestNoTest checks that a function that is not a test cannot be run as one, and that
// functions for tests report an error outside of tests.
func TestNoTest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a_test.star")
	text := "def test_a():\n    pass\n\ntest_b = 1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for function, want := range map[string]string{
		"test_aa": "a_test.star: there is no function \"test_aa\" in a_test.star\n    did you mean \"test_a\"?",
		"test_b":  "a_test.star: there is no function \"test_b\" in a_test.star",
	} {
		if _, err := interp.Test(t.Context(), file, function, interp.Options{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Test(%q) = %v, want %s", function, err, want)
		}
	}
	if err := os.WriteFile(file, []byte("pipeline(\"x\")\nplan()\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := interp.Eval(t.Context(), file, interp.Options{})
	const want = "a_test.star:2:1: plan: this is not a test\n    plan()\n    ^\n    write a function test_…() in a file *_test.star, and run: pipe test"
	if err == nil || err.Error() != want {
		t.Errorf("Eval = %v, want %s", err, want)
	}
}

// TestMemory checks that the plans that a test keeps count toward the limits (L4).
func TestMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a_test.star")
	text := `big = "pipeline('x')\nv = {'k%d' % i: i for i in range(1000)}\n" + "\n".join([
    "container('c%d', image = 'x:1', values = v, chart = chart('x', repo = 'https://a.example.com', version = '1'))" % i
    for i in range(100)
])

def test_kept():
    kept = []
    for i in range(1000):
        kept.append(plan(text = big))
        print(len(kept))
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := 0
	opts := interp.Options{}
	opts.Print = func(_ plan.Pos, _ string) { kept++ }
	_, err := interp.Test(t.Context(), file, "test_kept", opts)
	if err == nil || !strings.Contains(err.Error(), "evaluation takes more than") || kept == 0 || kept > 5 {
		t.Errorf("Test = %v, with %d plans kept", err, kept)
	}
}
