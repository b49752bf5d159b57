package builtins_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	impl "github.com/pipelinefile/pipe/internal/builtins"
)

var update = flag.Bool("update", false, "rewrite the generated files")

// TestGenerated compares the generated files with the code (L8).
func TestGenerated(t *testing.T) {
	for file, want := range map[string]string{"reference.md": impl.Reference(), "pipelinefile.pyi": impl.Stubs()} {
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not what the code says; run: make generate\n-code +file\n%s", file, diff)
		}
	}
}
