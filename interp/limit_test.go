//go:build linux && !race

// The race detector multiplies time and memory, which these tests bound: "make test" runs
// the package without it, too.

package interp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/internal/hostile"
	"github.com/pipelinefile/pipe/interp"
)

// hostileFile is the environment variable of the process that evaluates one hostile
// program.
const hostileFile = "PIPE_TEST_HOSTILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(hostileFile); file != "" {
		evalHostile(file)
		return
	}
	os.Exit(m.Run())
}

// An ending is the result of a hostile program.
type ending struct {
	Error  string
	Line   int
	Time   time.Duration // as hostile.Used reports it, from the start of the process
	Memory int64
}

// evalHostile evaluates a program and prints how it ended.
func evalHostile(file string) {
	// When garbage is collected depends on the load. The limit leaves room for that.
	debug.SetMemoryLimit(hostile.MostMemory * 3 / 4)
	_, err := interp.Eval(context.Background(), file, interp.Options{})
	took, memory, failed := hostile.Used()
	if failed != nil {
		panic(failed)
	}
	end := ending{Error: "none", Time: took, Memory: memory}
	var wrong *interp.Error
	if errors.As(err, &wrong) {
		d := wrong.Diagnostics[len(wrong.Diagnostics)-1]
		end.Line, end.Error = d.Pos.Line, d.Message
	} else if err != nil {
		end.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(end); err != nil {
		panic(err)
	}
}

// TestHostile checks that evaluation of any hostile program soon ends with an error that
// has a position, without using much memory (L4).
func TestHostile(t *testing.T) {
	programs := hostile.Programs()
	if len(programs) < 250 {
		t.Fatalf("%d programs, want at least 250", len(programs))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for name, text := range hostile.Files() {
		files = append(files, name, text)
	}
	dir := filepath.Dir(write(t, files...))
	var slowest, largest ending
	for _, p := range programs {
		t.Run(p.Name, func(t *testing.T) {
			main := filepath.Join(dir, "Pipelinefile")
			if err := os.WriteFile(main, []byte(p.Text), 0o644); err != nil {
				t.Fatal(err)
			}
			end := runHostile(t, self, main)
			if p.Right != (end.Error == "none") || !p.Right && end.Line == 0 {
				t.Errorf("it ends in line %d with %s", end.Line, end.Error)
			}
			if end.Time > hostile.MostTime {
				t.Errorf("took %s", end.Time)
			}
			if end.Memory > hostile.MostMemory {
				t.Errorf("took %d MB", end.Memory>>20)
			}
			if testing.Verbose() {
				t.Logf("%s, %d MB, line %d: %.150s", end.Time.Round(time.Millisecond), end.Memory>>20, end.Line, end.Error)
			}
			if end.Time > slowest.Time {
				slowest = end
			}
			if end.Memory > largest.Memory {
				largest = end
			}
		})
	}
	t.Logf("%d programs, the slowest %s, the largest %d MB", len(programs), slowest.Time.Round(time.Millisecond), largest.Memory>>20)
}

// runHostile evaluates file in a separate process.
func runHostile(t *testing.T, self, file string) ending {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), hostileFile+"="+file)
	cmd.WaitDelay = time.Second
	var out, wrong bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &wrong
	time.AfterFunc(hang, func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill() // it may have exited already
		}
	})
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %.500s", err, wrong.String())
	}
	var end ending
	if err := json.Unmarshal(out.Bytes(), &end); err != nil {
		t.Fatalf("%v: %.500s", err, out.String())
	}
	return end
}
