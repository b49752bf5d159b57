//go:build linux

package interp_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/interp"
)

// readers are all the ways to read a file or a directory.
var readers = []string{
	`x = read_file(%q)`, `x = read_json(%q)`, `x = read_yaml(%q)`, `x = read_toml(%q)`, `load(%q, "x")`, `x = local(%q)`, `x = chart(%q)`,
	`application("a", source = local(%q))`, `application("a", source = local("."), build = dockerfile(file = %q))`,
	`chart("ok", values_files = [%q])`,
}

// TestOutside checks that no way of reading leaves the workspace (L2).
func TestOutside(t *testing.T) {
	outside := t.TempDir()
	for _, name := range []string{"Dockerfile", "Chart.yaml", "x.star", "values.yaml"} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte("TOP = 'secret'\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	main := write(t, "ok/Chart.yaml", "name: ok\nversion: 1.0.0\n", "ok/x", "", "Pipelinefile", "")
	dir := filepath.Dir(main)
	rel, err := filepath.Rel(dir, outside)
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{
		"away": outside, "file": outside + "/x.star", "relative": rel, "twice": "away", "ok/up": "../../" + filepath.Base(outside),
		"loop": "loop", "a-loop": "b-loop", "b-loop": "a-loop", "null": "/dev/null", "zero": "/dev/zero", "proc": "/proc/self/environ",
		"root": "/", "broken": "nowhere",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	makeFifo(t, filepath.Join(dir, "fifo"))
	// A device and a socket, not behind a symbolic link.
	if err := syscall.Mknod(filepath.Join(dir, "device"), syscall.S_IFCHR|0o666, 1<<8|5); err != nil {
		t.Logf("no device: %v", err) // not root
	}
	paths := []string{
		outside, outside + "/x.star", "/etc/passwd", "/dev/zero", "/proc/self/environ", "//etc/passwd", "~/x", "~root/x",
		rel, rel + "/x.star", "..", "../..", "../../../../../../etc/passwd", "ok/../../x", "ok/./.././../x", "./../x", "ok/x/../../../x",
		"away", "away/x.star", "away/Chart.yaml", "file", "relative/x.star", "twice/x.star", "ok/up/x.star", "loop", "a-loop", "loop/x",
		"null", "zero", "proc", "root/etc/passwd", "broken", "fifo", "device", `..\x`, `C:\x`, "x\x00y", "",
		strings.Repeat("a/", 5000) + "x", strings.Repeat("a", 100_000), strings.Repeat("../", 1000) + "etc/passwd",
	}
	for _, p := range paths {
		for _, reader := range readers {
			src := "pipeline('p')\n" + fmt.Sprintf(reader, p) + "\n"
			if p == "x\x00y" {
				src = "pipeline('p')\n" + strings.Replace(fmt.Sprintf(reader, "ZERO"), `"ZERO"`, `"x\x00y"`, 1) + "\n"
			}
			if err := os.WriteFile(main, []byte(src), 0o644); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), hang)
			_, err := interp.Eval(ctx, main, interp.Options{})
			cancel()
			var wrong *interp.Error
			if !errors.As(err, &wrong) || wrong.Diagnostics[0].Pos.Line != 2 {
				t.Errorf("%.100s: Eval = %.300v, want an error of line 2", src[14:], err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%.100s: shows what it read: %v", src[14:], err)
			}
		}
	}
}

// TestSparse checks that a file of 10 GB is an error immediately, however it is read.
func TestSparse(t *testing.T) {
	main := write(t, "ok/Chart.yaml", "name: ok\nversion: 1.0.0\n", "Pipelinefile", "")
	big := filepath.Join(filepath.Dir(main), "big.star")
	for _, name := range []string{big, filepath.Join(filepath.Dir(main), "ok", "values.yaml")} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, 10<<30); err != nil {
			t.Fatal(err)
		}
	}
	for _, src := range []string{
		`x = read_file("big.star")`, `x = read_json("big.star")`, `x = read_yaml("big.star")`, `x = read_toml("big.star")`, `load("big.star", "x")`,
		`x = chart("ok")`, `x = chart("ok", values_files = ["big.star"])`,
	} {
		if err := os.WriteFile(main, []byte("pipeline('p')\n"+src+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err := interp.Eval(t.Context(), main, interp.Options{})
		want := "is larger than the limit of 67108864 bytes"
		if strings.HasPrefix(src, "load") {
			want = "is larger than the limit of 4 MiB"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Eval = %v", src, err)
		}
		if took := time.Since(start); took > hang {
			t.Errorf("%s took %s", src, took)
		}
	}
}

// TestChanging checks that a file that is written while it is read is read in one
// consistent state, or is an error, and that one evaluation sees one content.
func TestChanging(t *testing.T) {
	main := write(t, "f", strings.Repeat("0", 1<<20), "Pipelinefile", `pipeline('p')
a = read_file("f")
b = read_file("f")
if a != b: fail("changed")
if a != a[0] * len(a): fail("torn")
`)
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; !stop.Load(); i++ {
			text := strings.Repeat(fmt.Sprint(i%10), 1<<20+i%7)
			if err := os.WriteFile(filepath.Join(filepath.Dir(main), "f"), []byte(text), 0o644); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	read := 0
	for range 30 {
		_, err := interp.Eval(t.Context(), main, interp.Options{})
		switch {
		case err == nil:
			read++
		case strings.Contains(err.Error(), "changed while it was read"), strings.Contains(err.Error(), "out of range"):
			// The second error is about a file that was empty at that moment.
		default:
			t.Error(err)
		}
	}
	stop.Store(true)
	<-done
	t.Logf("read %d times of 30", read)
}

// TestReplaced checks that opening a file that has been replaced by a fifo does not
// block.
func TestReplaced(t *testing.T) {
	main := write(t, "f", "x", "Pipelinefile", "pipeline('p')\n[read_file('f') for i in range(3)]\n")
	f := filepath.Join(filepath.Dir(main), "f")
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			_ = os.Remove(f) // the file and the fifo alternate
			_ = syscall.Mkfifo(f, 0o644)
			_ = os.Remove(f)
			_ = os.WriteFile(f, []byte("x"), 0o644)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	for range 200 {
		if _, err := interp.Eval(ctx, main, interp.Options{}); errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("Eval blocks")
		}
	}
	stop.Store(true)
	<-done
}

// TestModules loads a thousand modules: independently, in a chain and in a cycle.
func TestModules(t *testing.T) {
	const n = 1000
	for name, src := range map[string]func(i int) string{
		"side": func(i int) string { return fmt.Sprintf("x = %d\n", i) },
		"row": func(i int) string {
			if i == n-1 {
				return "x = 1\n"
			}
			return fmt.Sprintf("load('m%d.star', y = 'x')\nx = y + 1\n", i+1)
		},
		"circle": func(i int) string { return fmt.Sprintf("load('m%d.star', y = 'x')\nx = y + 1\n", (i+1)%n) },
	} {
		files := []string{"Pipelinefile", "pipeline('p')\nload('m0.star', 'x')\n"}
		if name == "side" {
			for i := range n {
				files[1] += fmt.Sprintf("load('m%d.star', x%d = 'x')\n", i, i)
			}
		}
		for i := range n {
			files = append(files, fmt.Sprintf("m%d.star", i), src(i))
		}
		p, err := interp.Eval(t.Context(), write(t, files...), interp.Options{})
		if name == "circle" {
			var wrong *interp.Error
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "modules load each other") || wrong.Diagnostics[0].Pos.File != "m999.star" {
				t.Errorf("%s: Eval = %.200v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: Eval = %.500v", name, err)
		} else if len(p.Inputs) != n+1 {
			t.Errorf("%s: %d inputs, want %d", name, len(p.Inputs), n+1)
		}
	}
}

// TestCancelLong checks that a single long operation also ends with the context (L4).
func TestCancelLong(t *testing.T) {
	files := []string{"Pipelinefile", ""}
	for i := range 3000 {
		files = append(files, fmt.Sprintf("d%d/e/f", i), "")
	}
	main := write(t, files...)
	yaml := filepath.Join(filepath.Dir(main), "big.yaml")
	if err := os.WriteFile(yaml, []byte(strings.Repeat("- a: [1, 2, {b: c}]\n", 200_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, src := range []string{`x = [glob("**/*") for i in range(1000)]`, `x = read_yaml("big.yaml")`, `x = yaml.decode(read_file("big.yaml"))`} {
		if err := os.WriteFile(main, []byte("pipeline('p')\n"+src+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		least := time.Hour
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			var at time.Time
			time.AfterFunc(30*time.Millisecond, func() { at = time.Now(); cancel() })
			_, err := interp.Eval(ctx, main, interp.Options{Limits: interp.Limits{Steps: 1 << 60}})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: Eval = %v", src, err)
			}
			least = min(least, time.Since(at))
		}
		if t.Logf("%s: Eval returned %s after the context was cancelled", src, least); least > hang {
			t.Error("which is a hang")
		}
	}
}
