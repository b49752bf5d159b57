package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/format"
)

func (a *app) fmtCmd() *cobra.Command {
	var check, diff bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE…]",
		Short: "Lay out Pipelinefiles and modules",
		Long: `fmt lays out Pipelinefiles and modules in one way, and changes nothing else: the result
is parsed and compared before it is written. A folder stands for every Pipelinefile and every
file *.star below it; - for standard input, whose layout goes to standard output. Without
arguments it is the folder of the nearest Pipelinefile.

A file is replaced in one step and keeps its mode: it is never half written. The names of
files that were changed are written to standard output.`,
		Example: `  pipe fmt
  pipe fmt Pipelinefile lib/
  pipe fmt --check || echo "run pipe fmt"
  pipe fmt --diff Pipelinefile
  pipe fmt - < Pipelinefile`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.format(cmd, args, check, diff) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing, name what would be changed, and exit with status 1 if there is any, e.g. pipe fmt --check")
	cmd.Flags().BoolVar(&diff, "diff", false, "change nothing and show the differences, e.g. pipe fmt --diff")
	return cmd
}

// format lays out what args name. A file that is wrong does not keep it from the others.
func (a *app) format(cmd *cobra.Command, args []string, check, diff bool) error {
	if slices.Contains(args, "-") {
		if len(args) > 1 {
			return usagef(cmd, "- stands alone: standard input is one text")
		}
		return a.formatInput(check, diff)
	}
	files, err := a.starlarkFiles(cmd, args)
	if err != nil {
		return err
	}
	changed := 0
	var wrong interp.Error
	for _, file := range files {
		was, err := interp.ReadSource(file)
		if err != nil {
			return err
		}
		is, err := format.Source(a.shown(file), was)
		var e *interp.Error
		if errors.As(err, &e) {
			wrong.Diagnostics = append(wrong.Diagnostics, e.Diagnostics...)
			continue
		}
		if err != nil {
			return err
		}
		if bytes.Equal(was, is) {
			continue
		}
		changed++
		if err := a.formatted(file, was, is, check, diff); err != nil {
			return err
		}
	}
	if len(wrong.Diagnostics) > 0 {
		return &wrong
	}
	return unformatted(changed, check)
}

// file is standard output for the content of a file, which keeps all that it has unless
// it is shown on a terminal.
func (a *app) file() io.Writer {
	if a.screen != nil && a.screen() {
		return a.stdout
	}
	return ui.Raw(a.stdout)
}

// formatInput lays out standard input.
func (a *app) formatInput(check, diff bool) error {
	was, err := io.ReadAll(io.LimitReader(a.stdin, bounded.MaxModule+1))
	if err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	is, err := format.Source("<stdin>", was)
	if err != nil {
		return err
	}
	if !check && !diff {
		_, err := a.file().Write(is)
		return err
	}
	if bytes.Equal(was, is) {
		return nil
	}
	if diff {
		if err := a.difference("<stdin>", was, is); err != nil {
			return err
		}
	}
	return unformatted(1, check)
}

// formatted shows or writes the layout of a file that differs.
func (a *app) formatted(file string, was, is []byte, check, diff bool) error {
	if diff {
		return a.difference(a.shown(file), was, is)
	}
	fmt.Fprintln(a.stdout, a.shown(file))
	if check {
		return nil
	}
	return replaceFile(file, is)
}

// difference shows how two texts of a file differ.
func (a *app) difference(name string, was, is []byte) error {
	return difflib.WriteUnifiedDiff(a.file(), difflib.UnifiedDiff{
		A: difflib.SplitLines(string(was)), B: difflib.SplitLines(string(is)),
		FromFile: name, ToFile: name + " (laid out)", Context: 3,
	})
}

// unformatted is the error of --check, if files are not laid out.
func unformatted(changed int, check bool) error {
	if !check || changed == 0 {
		return nil
	}
	if changed == 1 {
		return errors.New("one file is not laid out; run: pipe fmt")
	}
	return fmt.Errorf("%d files are not laid out; run: pipe fmt", changed)
}

// starlarkFiles are the files that args name. A folder stands for all below it,
// without hidden ones; no arguments for the folder of the nearest Pipelinefile.
func (a *app) starlarkFiles(cmd *cobra.Command, args []string) ([]string, error) {
	if len(args) == 0 {
		file, err := a.find(cmd, nil)
		if err != nil {
			return nil, err
		}
		args = []string{filepath.Dir(file)}
	}
	var files []string
	for _, arg := range args {
		root := a.abs(arg)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case path == root && !d.IsDir():
				files = append(files, path)
			case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
				return fs.SkipDir
			case d.Type().IsRegular() && (d.Name() == fileName || strings.HasSuffix(d.Name(), ".star")):
				files = append(files, path)
			}
			return nil
		})
		if errors.Is(err, fs.ErrNotExist) {
			return nil, usagef(cmd, "there is no %s", root)
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// shown is the path of a file as it is shown: from the folder of the command, if it is below.
func (a *app) shown(file string) string {
	if rel, err := filepath.Rel(a.dir, file); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return file
}

// replaceFile gives a file another content in one step. A symbolic link stays
// one, and the mode stays.
func replaceFile(file string, data []byte) (err error) {
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(file), ".pipe-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(next.Name())
		}
	}()
	_, err = next.Write(data)
	if err == nil {
		err = next.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = next.Sync()
	}
	if e := next.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(next.Name(), file)
	}
	return err
}
