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
		Short: "Format Pipelinefiles and modules",
		Long: `fmt formats Pipelinefiles and modules, and changes only their layout: the result
is parsed and compared before it is written. A directory means every Pipelinefile and every
file *.star below it; - means standard input, which is formatted to standard output. Without
arguments it formats the directory of the nearest Pipelinefile.

A file is replaced atomically and keeps its mode. The names of
changed files are written to standard output.`,
		Example: `  pipe fmt
  pipe fmt Pipelinefile lib/
  pipe fmt --check || echo "run pipe fmt"
  pipe fmt --diff Pipelinefile
  pipe fmt - < Pipelinefile`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.format(cmd, args, check, diff) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing, list the files that would change, and exit with status 1 if there are any, e.g. pipe fmt --check")
	cmd.Flags().BoolVar(&diff, "diff", false, "change nothing and show the differences, e.g. pipe fmt --diff")
	return cmd
}

// format formats the files that args name. An invalid file does not stop it
// from formatting the others.
func (a *app) format(cmd *cobra.Command, args []string, check, diff bool) error {
	if slices.Contains(args, "-") {
		if len(args) > 1 {
			return usagef(cmd, "- cannot be combined with other files")
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

// file returns standard output for the content of a file, unmodified unless it
// is shown on a terminal.
func (a *app) file() io.Writer {
	if a.screen != nil && a.screen() {
		return a.stdout
	}
	return ui.Raw(a.stdout)
}

// formatInput formats standard input.
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

// formatted shows or writes the result for a file that differs.
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

// difference returns a diff between two versions of a file.
func (a *app) difference(name string, was, is []byte) error {
	return difflib.WriteUnifiedDiff(a.file(), difflib.UnifiedDiff{
		A: difflib.SplitLines(string(was)), B: difflib.SplitLines(string(is)),
		FromFile: name, ToFile: name + " (formatted)", Context: 3,
	})
}

// unformatted is the error of --check if files are not formatted.
func unformatted(changed int, check bool) error {
	if !check || changed == 0 {
		return nil
	}
	if changed == 1 {
		return errors.New("one file is not formatted; run: pipe fmt")
	}
	return fmt.Errorf("%d files are not formatted; run: pipe fmt", changed)
}

// starlarkFiles returns the files that args name. A directory means all files
// below it, without hidden ones; no arguments mean the directory of the nearest
// Pipelinefile.
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
			return nil, usagef(cmd, "%s not found", root)
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// shown returns the path of a file for display: relative to the directory of
// the command, if it is below.
func (a *app) shown(file string) string {
	if rel, err := filepath.Rel(a.dir, file); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return file
}

// replaceFile replaces the content of a file atomically. It follows a symbolic
// link, and keeps the mode.
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
