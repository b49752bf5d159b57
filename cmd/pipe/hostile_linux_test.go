//go:build !race

// The race detector multiplies time and memory, which are limited here: "make test" runs
// this package without it.

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/internal/hostile"
)

const (
	hostileOutput = 400 << 10 // maximum output of a command, in bytes
	hostileHangs  = 3 * time.Minute
)

// TestHostile: whatever a file contains, each command that reads it ends soon and without a
// crash, with limited memory and limited output (L4). A short program is evaluated by one of the
// commands that evaluate: most take all that evaluation may, which is the same in all of them.
func TestHostile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range hostile.Files() {
		write(t, dir, name, text)
	}
	pipe, err := exec.LookPath("pipe") // where testscript has put it
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range hostile.Programs() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			file, test := fmt.Sprintf("p%d.star", i), fmt.Sprintf("p%d_test.star", i)
			write(t, dir, file, p.Text)
			write(t, dir, test, p.Text+"\ndef test_nothing():\n    pass\n")
			defer os.Remove(filepath.Join(dir, file)) // some are large
			defer os.Remove(filepath.Join(dir, test))
			evaluate := [][]string{{"plan", file, "--progress", "quiet"}, {"test", test}, {"lsp"}}
			if len(p.Text) < 4<<10 {
				evaluate = evaluate[i%len(evaluate):][:1]
			}
			for _, args := range append(evaluate, []string{"lint", file}, []string{"fmt", "--check", file}, []string{"doc", file}) {
				c := &hostileCommand{path: pipe, dir: dir, args: args}
				c.check(t, func(cmd *exec.Cmd) error {
					if args[0] == "lsp" {
						return edit(cmd, filepath.Join(dir, "Pipelinefile"), p.Text)
					}
					return cmd.Run()
				})
			}
		})
	}
}

// A hostileCommand is a command on a hostile file.
type hostileCommand struct {
	path, dir string
	args      []string
	took      usage
	output    bytes.Buffer
}

// check runs the command and checks its resources.
func (c *hostileCommand) check(t *testing.T, run func(*exec.Cmd) error) {
	t.Helper()
	c.run(t, run)
	what := strings.Join(c.args, " ")
	if c.took.Time > hostile.MostTime {
		t.Errorf("pipe %s took %s", what, c.took.Time)
	}
	if c.took.Memory > hostile.MostMemory {
		t.Errorf("pipe %s took %d MB", what, c.took.Memory>>20)
	}
	if c.output.Len() > hostileOutput {
		t.Errorf("pipe %s wrote %d KB", what, c.output.Len()>>10)
	}
	if testing.Verbose() {
		t.Logf("pipe %s: %s, %d MB, %d KB", c.args[0], c.took.Time.Round(time.Millisecond), c.took.Memory>>20, c.output.Len()>>10)
	}
}

func (c *hostileCommand) run(t *testing.T, run func(*exec.Cmd) error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.path, c.args...)
	cmd.Dir = c.dir
	used := filepath.Join(t.TempDir(), "usage")
	cmd.Env = append(os.Environ(), usageFile+"="+used, "PIPE_HOME="+t.TempDir(), "KUBECONFIG=no-kubeconfig", "BUILDKIT_HOST=")
	c.output.Reset()
	cmd.Stderr = &c.output
	if c.args[0] != "lsp" {
		cmd.Stdout = &c.output
	}
	hangs := time.AfterFunc(hostileHangs, func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill() // it may have ended already
		}
	})
	defer hangs.Stop()
	err := run(cmd)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != statusFailed && exit.ExitCode() != statusFile) {
		t.Fatalf("pipe %s: %v\n%.2000s", strings.Join(c.args, " "), err, c.output.String())
	}
	data, err := os.ReadFile(used)
	if err == nil {
		err = json.Unmarshal(data, &c.took)
	}
	if err != nil {
		t.Fatalf("pipe %s: %v\n%.2000s", strings.Join(c.args, " "), err, c.output.String())
	}
}

// edit runs the language server for an editor that opens a file, waits for its diagnostics,
// and ends.
func edit(cmd *exec.Cmd, file, text string) error {
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	uri := "file://" + file
	for _, m := range []map[string]any{
		{"id": 1, "method": "initialize", "params": map[string]any{"capabilities": map[string]any{}}},
		{"method": "initialized", "params": map[string]any{}},
		{"method": "textDocument/didOpen", "params": map[string]any{"textDocument": map[string]any{"uri": uri, "version": 1, "text": text}}},
		{"id": 2, "method": "textDocument/documentSymbol", "params": map[string]any{"textDocument": map[string]any{"uri": uri}}},
	} {
		if err := send(in, m); err != nil {
			return err
		}
	}
	if err := published(bufio.NewReader(out), uri); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // until the server ends
	for _, m := range []map[string]any{{"id": 3, "method": "shutdown"}, {"method": "exit"}} {
		if err := send(in, m); err != nil {
			return err
		}
	}
	return cmd.Wait()
}

func send(w io.Writer, m map[string]any) error {
	m["jsonrpc"] = "2.0"
	data, err := json.Marshal(m)
	if err == nil {
		_, err = fmt.Fprintf(w, "Content-Length: %d\r\n\r\n%s", len(data), data)
	}
	return err
}

// published waits until the server publishes the diagnostics of a file.
func published(r *bufio.Reader, uri string) error {
	for {
		header, err := textproto.NewReader(r).ReadMIMEHeader()
		if err != nil {
			return err
		}
		size, err := strconv.Atoi(header.Get("Content-Length"))
		if err != nil {
			return err
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				URI         string `json:"uri"`
				Diagnostics []any  `json:"diagnostics"`
			} `json:"params"`
		}
		if err := json.Unmarshal(body, &m); err != nil {
			return err
		}
		if string(m.ID) == "null" { // the message is too large to be read
			return nil
		}
		if m.Method == "textDocument/publishDiagnostics" && m.Params.URI == uri {
			if n := len(m.Params.Diagnostics); n > 110 {
				return fmt.Errorf("%d diagnostics are published", n)
			}
			return nil
		}
	}
}
