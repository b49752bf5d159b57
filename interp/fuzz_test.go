package interp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/interp"
)

// FuzzEval checks that no input makes the interpreter panic, and that two evaluations of
// one input give the same result (L1, L4).
func FuzzEval(f *testing.F) {
	files, err := filepath.Glob("testdata/*.star")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for chunk := range strings.SplitSeq(string(text), "\n---\n") {
			f.Add(chunk + "\npipeline('test')\n")
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		main := write(t, "api/Dockerfile", "FROM scratch", "Pipelinefile", src)
		var got [2]string
		for i := range got {
			p, err := interp.Eval(t.Context(), main, interp.Options{Limits: interp.Limits{Steps: 20_000, Size: 1 << 20}})
			if err != nil {
				got[i] = err.Error()
				continue
			}
			data, err := p.JSON()
			if err != nil {
				t.Fatal(err)
			}
			got[i] = string(data)
		}
		if diff := cmp.Diff(got[0], got[1]); diff != "" {
			t.Errorf("two evaluations differ:\n%s", diff)
		}
	})
}
