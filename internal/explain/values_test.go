package explain_test

import (
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/internal/explain"
)

// TestMeantSecret: the hint for a string where a secret is wanted never repeats the string, which
// may be the value.
func TestMeantSecret(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "hunter2", "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("hunter2", 40)} {
		got := explain.Meant("secret", text)
		if !strings.HasPrefix(got, `write secret("NAME")`) || strings.Contains(got, "hunter2") {
			t.Errorf("%q: %q", text, got)
		}
	}
}
