package repl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// A Console connects inputs and results.
type Console struct {
	Out io.Writer
	// Plan writes a plan for people.
	Plan func(io.Writer, *plan.Plan) error
}

// errDropped means that Ctrl-C discarded the input.
var errDropped = errors.New("dropped")

const help = `Enter Pipelinefile code: an expression prints its value, and declarations are kept.
  :plan    show the plan of all accepted inputs
  :undo    undo the last input
  :reset   undo all inputs
  :help    show this help
  :quit    quit, like Ctrl-D
A def, if or for ends with an empty line. Tab completes names. Ctrl-C discards an input, or stops
the evaluation.
`

// commands lists the commands that :help describes.
var commands = []string{":plan", ":undo", ":reset", ":help", ":quit"}

// Script evaluates the statements in in as if each were an input, and stops at the first error.
func Script(ctx context.Context, s *Session, in io.Reader, c Console) error {
	all, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var chunk []string
	for _, line := range append(strings.Split(string(all), "\n"), ":quit") {
		if !strings.HasPrefix(line, ":") {
			chunk = append(chunk, line)
			continue
		}
		for _, input := range statements(strings.Join(chunk, "\n")) {
			if err := c.eval(ctx, s, input); err != nil {
				return err
			}
		}
		chunk = nil
		if strings.TrimSpace(line) == ":quit" {
			break
		}
		if err := c.command(ctx, s, line); err != nil {
			return err
		}
	}
	return nil
}

// statements returns the statements of a text, each with its own lines, or the
// whole text if it cannot be parsed.
func statements(text string) []string {
	f, err := dialect.Parse("", text, 0)
	if err != nil || strings.ContainsRune(text, 0) { // the parser ends at a NUL byte without an error
		return []string{text}
	}
	var out []string
	lines := strings.Split(text, "\n")
	last := 0
	for _, stmt := range f.Stmts {
		start, end := stmt.Span()
		if n := len(out); n > 0 && int(start.Line) <= last { // after a semicolon
			out[n-1] = strings.Join(append([]string{out[n-1]}, lines[last:end.Line]...), "\n")
		} else {
			out = append(out, strings.Join(lines[start.Line-1:end.Line], "\n"))
		}
		last = int(end.Line)
	}
	return out
}

// Talk reads inputs from a terminal and evaluates them, until the user quits or ctx
// is done. Errors in an input are printed and do not end the loop.
func Talk(ctx context.Context, s *Session, t *Terminal, c Console) error {
	fmt.Fprint(c.Out, "Starlark with the builtins of a Pipelinefile; :help lists the commands, Ctrl-D quits\n")
	for {
		input, err := t.input(ctx, s)
		switch {
		case errors.Is(err, errDropped):
			continue
		case errors.Is(err, io.EOF):
			fmt.Fprintln(c.Out)
			return context.Cause(ctx)
		case err != nil:
			return err
		case strings.TrimSpace(input) == ":quit":
			return nil
		}
		busy, stop := t.busy(ctx)
		if strings.HasPrefix(input, ":") {
			err = c.command(busy, s, input)
		} else if strings.TrimSpace(input) != "" {
			err = c.eval(busy, s, input)
		}
		if err != nil && busy.Err() != nil {
			err = errors.New("stopped")
		}
		stop()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			fmt.Fprintln(c.Out, err)
		}
	}
}

// eval evaluates an input and prints the result.
func (c Console) eval(ctx context.Context, s *Session, input string) error {
	value, err := s.Eval(ctx, input, func(text string) { fmt.Fprintln(c.Out, text) })
	if err == nil && value != "" {
		_, err = fmt.Fprintln(c.Out, value)
	}
	return err
}

// command runs a line that starts with a colon.
func (c Console) command(ctx context.Context, s *Session, line string) error {
	line = strings.TrimSpace(line)
	switch line {
	case ":help":
		_, err := io.WriteString(c.Out, help)
		return err
	case ":reset":
		s.Reset()
		return nil
	case ":undo":
		last := s.Undo()
		if last == "" {
			return errors.New(":undo: no input to undo")
		}
		_, err := fmt.Fprintf(c.Out, "undone: %s\n", strings.TrimSpace(last))
		return err
	case ":plan":
		p, err := s.Plan(ctx)
		if err != nil {
			return err
		}
		return c.Plan(c.Out, p)
	}
	return fmt.Errorf("unknown command %s; the commands are %s", line, strings.Join(commands, ", "))
}
