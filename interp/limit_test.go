//go:build linux && !race

// The race detector multiplies time and memory, which is what is bounded here:
// "make test" runs these tests without it, and by themselves.

package interp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/interp"
)

// What a hostile program may take.
const (
	hostileTime   = time.Second // of a processor
	hostileMemory = 200 << 20   // resident
)

// hostile is set in the process that evaluates one hostile program.
const hostile = "PIPE_TEST_HOSTILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(hostile); file != "" {
		evalHostile(file)
		return
	}
	os.Exit(m.Run())
}

// An ending is how a hostile program ended.
type ending struct {
	Error  string
	Line   int
	Time   time.Duration // of processors, without the collector's
	Memory int64         // the most that was resident
}

// evalHostile evaluates a program and prints how it ended.
func evalHostile(file string) {
	// Garbage is not what the program holds: the collector has this much room.
	debug.SetMemoryLimit(hostileMemory * 3 / 4)
	before := usage()
	_, err := interp.Eval(context.Background(), file, interp.Options{})
	after := usage()
	end := ending{Error: "none", Time: cpu(after) - cpu(before), Memory: resident()}
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

// resident returns the most memory that this process had. Rusage would count that
// of the process that started it, too.
func resident() int64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0 // not Linux
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	var kb int64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		panic(err)
	}
	return kb << 10
}

func usage() (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u
}

func cpu(u syscall.Rusage) time.Duration { return time.Duration(u.Utime.Nano() + u.Stime.Nano()) }

// programs returns the programs of a file of testdata, by name.
func programs(t testing.TB, file string) (names []string, text map[string]string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	text = map[string]string{}
	for part := range strings.SplitSeq("\n"+string(data), "\n=== ") {
		name, body, ok := strings.Cut(part, "\n")
		if name == "" || !ok {
			continue
		}
		names, text[name] = append(names, name), body
	}
	return names, text
}

// generatedPrograms are hostile by their size.
func generatedPrograms() map[string]string {
	var calls, elifs strings.Builder
	calls.WriteString("def f0():\n  pass\n")
	for i := 1; i < 50_000; i++ {
		fmt.Fprintf(&calls, "def f%d():\n  f%d()\n", i, i-1)
	}
	calls.WriteString("f49999()\n")
	elifs.WriteString("if 0:\n pass\n")
	for range 200_000 {
		elifs.WriteString("elif 0:\n pass\n")
	}
	texts := collisions()
	keys := fmt.Sprintf("keys = %q.split()\n", strings.Join(texts, " "))
	json := `{\"` + strings.Join(texts, `\":1,\"`) + `\":1}`
	return map[string]string{
		"texts of one hash":            keys + "x = [{k: 1 for k in keys} for i in range(1000000)]",
		"text of one hash looked up":   keys + "d = {k: 1 for k in keys}\nx = [d[keys[-1]] for i in range(1000000)]",
		"text of one hash by name":     keys + "d = {k: 1 for k in keys}\nx = [\"%(" + texts[len(texts)-1] + ")s\" % d for i in range(1000000)]",
		"texts of one hash set":        keys + "def f():\n  d = {}\n  for i in range(1000000):\n    for k in keys:\n      d[k] = i\nf()",
		"set of texts of one hash":     keys + "x = [set(keys) for i in range(1000000)]",
		"arguments of one hash":        keys + "def g(**kw):\n  pass\nd = {k: 1 for k in keys}\nx = [g(**d) for i in range(1000000)]",
		"dict by name of one hash":     keys + "d = {k: 1 for k in keys}\nx = [dict(**d) for i in range(1000000)]",
		"JSON of one hash":             "x = [json.decode(\"" + json + "\") for i in range(100000)]",
		"YAML of one hash":             "x = [yaml.decode(\"" + json + "\") for i in range(100000)]",
		"literal of texts of one hash": "x = [{\"" + strings.Join(texts, `":1,"`) + "\":1} for i in range(100000)]",
		"calls of calls":               calls.String(),
		"elif of elif":                 elifs.String(),
		"source of brackets":           "x = " + strings.Repeat("(", 4<<20),
		"source of not":                "x = " + strings.Repeat("not ", 1<<20) + "1",
		"source of minus":              "x = " + strings.Repeat("-", 4<<20) + "1",
		"source of lambdas":            "x = " + strings.Repeat("lambda a,b:", 300_000) + "1",
		"source of sums":               "x = 1" + strings.Repeat("+1", 2<<20),
		"source of dots":               "x = a" + strings.Repeat(".a", 2<<20),
		"source of else":               "x = 1" + strings.Repeat(" if 1 else 1", 300_000),
		"source of names":              strings.Repeat("x\n", 290_000),
		"source of values":             strings.Repeat("x=1\n", 180_000) + "fail()",
		"source of all":                strings.Repeat("x\n", 6<<20),
		"source of calls":              "x = f" + strings.Repeat("()", 1<<20),
		"source of indexes":            "x = f" + strings.Repeat("[0]", 1<<20),
	}
}

// hostileFiles are what a hostile program finds in its folder: paths and texts.
func hostileFiles() []string {
	deep := strings.Repeat("a.", 2000)
	files := []string{
		"hostile.star", strings.Repeat("x", 100_000),
		"dotted.toml", strings.Repeat(deep+"b = 1\n", 500),
		"deep.toml", strings.Repeat("a.", 1_000_000) + "b = 1\n",
		"nested.toml", "a = [" + strings.Repeat("[", 900) + strings.Repeat("]", 900) + "]\n",
	}
	for i := range 2000 {
		files = append(files, fmt.Sprintf("many/f%d", i), "")
	}
	return files
}

// TestHostile: whatever a program does, evaluation ends with an error that has a
// position, soon, and without much memory (L4).
func TestHostile(t *testing.T) {
	names, text := programs(t, "hostile.txt")
	for name, src := range generatedPrograms() {
		names, text[name] = append(names, name), src
	}
	if len(names) < 60 {
		t.Fatalf("%d programs, want at least 60", len(names))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(write(t, hostileFiles()...))
	var slowest, largest ending
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			main := filepath.Join(dir, "Pipelinefile")
			if err := os.WriteFile(main, []byte("pipeline('p')\n"+text[name]), 0o644); err != nil {
				t.Fatal(err)
			}
			end := runHostile(t, self, main)
			// What else the machine does only makes it slower: a program that is
			// really too slow is so every time.
			for attempt := 1; attempt < 5 && end.Time > hostileTime; attempt++ {
				end = runHostile(t, self, main)
			}
			if end.Line == 0 {
				t.Errorf("no error with a position: %s", end.Error)
			}
			if end.Time > hostileTime {
				t.Errorf("took %s", end.Time)
			}
			if end.Memory > hostileMemory {
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
	t.Logf("%d programs, the slowest %s, the largest %d MB", len(names), slowest.Time.Round(time.Millisecond), largest.Memory>>20)
}

// runHostile evaluates file in a process of its own.
func runHostile(t *testing.T, self, file string) ending {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), hostile+"="+file)
	cmd.WaitDelay = time.Second
	var out, wrong bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &wrong
	time.AfterFunc(hang, func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill() // it may have ended
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

// collisions returns about 4 000 texts that all have one hash in the interpreter,
// which is FNV-1a of 32 bits for what is shorter than 12 bytes: beginnings and ends
// that meet in the middle.
func collisions() []string {
	const (
		prime   = 16777619
		inverse = 899433627 // of it, modulo 2³²
		n       = 1 << 22
	)
	text := func(i int) (s [5]byte) {
		for k := range s {
			s[k] = "abcdefghijklmnopqrstuvwxyz012345"[i>>(5*k)&31]
		}
		return s
	}
	ends := make([]int32, n) // by the upper bits of the state before the end
	for i := range n {
		h, s := uint32(12345), text(i)
		for k := range s {
			h = h*inverse ^ uint32(s[len(s)-1-k])
		}
		ends[h>>10] = int32(i)
	}
	var out []string
	for i := range 2 * n {
		h, s := uint32(2166136261), text(i)
		for _, c := range s {
			h = (h ^ uint32(c)) * prime
		}
		e := text(int(ends[h>>10]))
		for _, c := range e {
			h = (h ^ uint32(c)) * prime
		}
		if h == 12345 {
			out = append(out, string(s[:])+string(e[:]))
		}
	}
	return out
}
