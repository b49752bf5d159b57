package interp_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pipelinefile/pipe/interp"
)

// TestErrors compares the exact text of the errors in a Pipelinefile, and the inputs that
// were read until then.
func TestErrors(t *testing.T) {
	for file, archive := range archives(t, "testdata/errors/*.txtar") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			sources, want := without(archive, "error")
			dir := filepath.Join(t.TempDir(), "w")
			opts := unpack(t, sources, dir)
			_, err := interp.Eval(t.Context(), filepath.Join(dir, "Pipelinefile"), opts)
			var wrong *interp.Error
			if !errors.As(err, &wrong) {
				t.Fatalf("Eval(%s) = %v, want an *interp.Error", file, err)
			}
			var got strings.Builder
			got.WriteString(strings.ReplaceAll(wrong.Error(), filepath.ToSlash(dir), "DIR") + "\n\nread:")
			for _, in := range wrong.Inputs {
				got.WriteString(" " + in.Path)
			}
			got.WriteString("\n")
			if *update {
				rewrite(t, file, sources, "error", []byte(got.String()))
				return
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("Eval(%s): -want +got\n%s\nrun: go test ./interp -update", file, diff)
			}
		})
	}
}

// TestMistakes checks that the exact messages of at least 80 mistakes are tested (L3).
func TestMistakes(t *testing.T) {
	n := len(archives(t, "testdata/errors/*.txtar"))
	for _, archive := range archives(t, "testdata/habits/*.txtar") {
		for _, f := range archive.Files {
			if strings.HasSuffix(f.Name, ".error") {
				n++
			}
		}
	}
	if n < 80 {
		t.Errorf("%d mistakes, want at least 80", n)
	}
}

// TestHabits evaluates each file of the archives, a Pipelinefile with a construct of
// another language. The file that follows it has the text of the error.
func TestHabits(t *testing.T) {
	for file, archive := range archives(t, "testdata/habits/*.txtar") {
		out := &txtar.Archive{Comment: archive.Comment}
		for i, f := range archive.Files {
			if strings.HasSuffix(f.Name, ".error") {
				continue
			}
			var want string
			if i+1 < len(archive.Files) && archive.Files[i+1].Name == f.Name+".error" {
				want = string(archive.Files[i+1].Data)
			}
			dir := t.TempDir()
			src := filepath.Join(dir, "Pipelinefile")
			if err := os.WriteFile(src, f.Data, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := interp.Eval(t.Context(), src, interp.Options{Root: dir})
			if err == nil {
				t.Errorf("%s: Eval(%s): no error", file, f.Name)
				continue
			}
			got := err.Error() + "\n"
			out.Files = append(out.Files, f, txtar.File{Name: f.Name + ".error", Data: []byte(got)})
			if diff := cmp.Diff(want, got); diff != "" && !*update {
				t.Errorf("%s: Eval(%s): -want +got\n%s\nrun: go test ./interp -update", file, f.Name, diff)
			}
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(out), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
