package interp_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/interp"
)

// generated declares 10 000 services, as a program that creates them from a list would.
const generated = `
pipeline("big")

first = stage("first", description = "what the others need")
rest = stage("rest")

def make(i):
    return application(
        "svc-%d" % i,
        image = "registry.example.com/team/svc-%d:1.2" % i,
        stage = rest if i % 2 else first,
        ports = [port(8080, name = "http"), port(9090)],
        health = http("/healthz"),
        env = {"NAME": "svc-%d" % i, "LEVEL": "info", "WORKERS": i % 8},
        secrets = {"TOKEN": secret("token")},
        resources = resources(cpu = "100m", memory = "64Mi"),
        labels = {"team": "t%d" % (i % 10)},
        replicas = 2,
    )

all = [make(i) for i in range(10000)]
`

// bare runs the same program on plain Starlark, where each builtin only records its
// arguments in a struct.
func bare(src string) error {
	env := starlark.StringDict{}
	var recorded []starlark.Value
	for _, name := range []string{"pipeline", "stage", "application", "port", "http", "secret", "resources"} {
		env[name] = starlark.NewBuiltin(name, func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			s := starlarkstruct.FromKeywords(starlark.String(b.Name()), kwargs)
			recorded = append(recorded, s)
			return s, nil
		})
	}
	opts := &syntax.FileOptions{Set: true, TopLevelControl: true, GlobalReassign: true}
	_, err := starlark.ExecFileOptions(opts, &starlark.Thread{}, "bare", src, env)
	return err
}

// BenchmarkEval10000 evaluates 10 000 services and writes the plan. The metric x-bare is
// the ratio to plain Starlark on the same loops, by the fastest run of each, because the
// machine may be busy.
func BenchmarkEval10000(b *testing.B) {
	file := filepath.Join(b.TempDir(), "Pipelinefile")
	if err := os.WriteFile(file, []byte(generated), 0o644); err != nil {
		b.Fatal(err)
	}
	plain, ours := time.Hour, time.Hour
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		start := time.Now()
		if err := bare(generated); err != nil {
			b.Fatal(err)
		}
		plain = min(plain, time.Since(start))
		b.StartTimer()
		start = time.Now()
		p, err := interp.Eval(context.Background(), file, interp.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.JSON(); err != nil {
			b.Fatal(err)
		}
		ours = min(ours, time.Since(start))
	}
	b.ReportMetric(float64(ours)/float64(plain), "x-bare")
	b.ReportMetric(float64(plain.Microseconds())/1000, "bare-ms")
	b.ReportMetric(float64(ours.Microseconds())/1000, "eval-ms")
}

// BenchmarkModules evaluates 10 000 services from 1 000 modules of ten. The metric
// x-one-file is the ratio to one file with all of them, by the fastest run of each.
func BenchmarkModules(b *testing.B) {
	declaration := func(i int) string {
		return fmt.Sprintf("container(\"svc-%d\", image = \"registry.example.com/svc-%d:1\", ports = [8080], env = {\"N\": \"%d\"})\n", i, i, i)
	}
	var one, many strings.Builder
	one.WriteString("pipeline(\"big\")\n")
	many.WriteString("pipeline(\"big\")\n")
	var files []string
	for m := range 1000 {
		fmt.Fprintf(&many, "load(\"m%d.star\", m%d = \"name\")\n", m, m)
		text := fmt.Sprintf("name = \"m%d\"\n", m)
		for i := range 10 {
			text += declaration(10*m + i)
			one.WriteString(declaration(10*m + i))
		}
		files = append(files, fmt.Sprintf("m%d.star", m), text)
	}
	mains := []string{write(b, "Pipelinefile", one.String()), write(b, append(files, "Pipelinefile", many.String())...)}
	best := []time.Duration{time.Hour, time.Hour}
	for b.Loop() {
		for i, main := range mains {
			start := time.Now()
			p, err := interp.Eval(context.Background(), main, interp.Options{})
			if err != nil {
				b.Fatal(err)
			}
			best[i] = min(best[i], time.Since(start))
			if len(p.Services) != 10_000 {
				b.Fatalf("%d services, want 10000", len(p.Services))
			}
		}
	}
	b.ReportMetric(float64(best[1])/float64(best[0]), "x-one-file")
	b.ReportMetric(float64(best[0].Microseconds())/1000, "one-file-ms")
	b.ReportMetric(float64(best[1].Microseconds())/1000, "modules-ms")
}

// BenchmarkMemory measures the bytes that a service in a plan of 10 000 keeps, and the
// bytes that its evaluation allocates.
func BenchmarkMemory(b *testing.B) {
	main := write(b, "Pipelinefile", generated)
	var kept, took uint64
	for b.Loop() {
		before := memory()
		p, err := interp.Eval(context.Background(), main, interp.Options{})
		if err != nil {
			b.Fatal(err)
		}
		after := memory()
		kept, took = after.HeapAlloc-before.HeapAlloc, after.TotalAlloc-before.TotalAlloc
		runtime.KeepAlive(p)
	}
	b.ReportMetric(float64(kept)/10_000, "kept-B/service")
	b.ReportMetric(float64(took)/10_000, "allocated-B/service")
}

func memory() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// BenchmarkCancel measures how long a busy loop continues after its context has ended
// (L4).
func BenchmarkCancel(b *testing.B) {
	main := write(b, "Pipelinefile", "def f():\n  for i in range(1000000000):\n    for j in range(1000000000):\n      pass\nf()\n")
	shortest := time.Hour // the machine may be busy
	for b.Loop() {
		ctx, cancel := context.WithCancel(context.Background())
		var at time.Time
		time.AfterFunc(5*time.Millisecond, func() { at = time.Now(); cancel() })
		if _, err := interp.Eval(ctx, main, interp.Options{Limits: interp.Limits{Steps: 1 << 60}}); err == nil {
			b.Fatal("no error")
		}
		shortest = min(shortest, time.Since(at))
	}
	b.ReportMetric(float64(shortest.Microseconds())/1000, "shortest-ms")
}
