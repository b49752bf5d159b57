package interp_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/interp"
)

// generated declares 10 000 services, as a program would that makes them from a list.
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

// bare runs the same program on plain Starlark, where each builtin only
// records its arguments in a struct.
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

// BenchmarkEval10000 evaluates 10 000 services and writes the plan. The metric
// x-bare is how many times that takes what bare Starlark takes for the same
// loops, each at its fastest: the machine may be busy with others.
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
