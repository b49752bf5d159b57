package render

import (
	"bytes"
	"context"
	"errors"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

func jobOf(template string) Job {
	c := &chart.Chart{Metadata: &chart.Metadata{APIVersion: "v2", Name: "web", Version: "1.0.0"}, Values: map[string]any{"text": "own"}}
	c.Templates = []*chart.File{{Name: "templates/a.yaml", Data: []byte(template)}}
	return Job{Key: template, Chart: c, Release: chartutil.ReleaseOptions{Name: "web"}}
}

func renderer(t *testing.T) *Renderer {
	t.Helper()
	r := New(Options{Executable: os.Args[0], Memory: 256 << 20, Workers: 1})
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// TestOrphan: a worker ends with the process that started it, also in the middle
// of rendering.
func TestOrphan(t *testing.T) {
	w, err := start(New(Options{Executable: os.Args[0]}).opts)
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	j := jobOf(`{{ lookup "v1" "Secret" "" "a" }}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}`)
	j.Lookup = func(string, string, string, string) (map[string]any, error) {
		close(begun)
		return nil, nil
	}
	lost := make(chan error)
	go func() {
		_, err := w.talk(j, Options{}.complete(), new(string))
		lost <- err
	}()
	<-begun
	_ = w.stdin.Close() // as the system does
	if err := <-lost; err == nil {
		t.Error("it has rendered")
	}
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("the worker: %v", err)
	}
}

// TestIdle: a worker that has ended is replaced.
func TestIdle(t *testing.T) {
	r := renderer(t)
	for range 2 {
		if files, err := r.Render(t.Context(), jobOf("a: 1")); err != nil || files["web/templates/a.yaml"] != "a: 1" {
			t.Fatalf("Render = %v, %v", files, err)
		}
		if len(r.idle) != 1 {
			t.Fatalf("%d workers are kept", len(r.idle))
		}
		_ = r.idle[0].stdin.Close()
	}
	_ = r.idle[0].cmd.Process.Kill() // for another reason than idleness
	if _, err := r.Render(t.Context(), jobOf("a: 1")); err != nil {
		t.Error(err)
	}
}

// TestMany: a worker does not keep more charts than it may, and knows those that
// it has.
func TestMany(t *testing.T) {
	r := renderer(t)
	for i := range 3 * maxCharts {
		for range 2 {
			text := strings.Repeat("x", i%(maxCharts+3))
			if files, err := r.Render(t.Context(), jobOf(text)); err != nil || files["web/templates/a.yaml"] != text {
				t.Fatalf("Render = %v, %v", files, err)
			}
		}
	}
	if n := len(r.idle[0].sent); n > maxCharts {
		t.Errorf("the worker has %d charts", n)
	}
}

// TestLookup: templates see objects of the cluster as in this process, and what the
// cluster says is wrong can be told apart.
func TestLookup(t *testing.T) {
	away := errors.New("the cluster does not answer")
	j := jobOf(`{{ (lookup "v1" "ConfigMap" "shop" "a").data.n }} {{ range (lookup "v1" "ConfigMap" "shop" "").items }}{{ .metadata.name }}{{ end }} {{ lookup "v1" "Node" "" "none" }}`)
	j.Lookup = func(apiVersion, kind, namespace, name string) (map[string]any, error) {
		switch kind + "/" + namespace + "/" + name {
		case "ConfigMap/shop/a":
			return map[string]any{"data": map[string]any{"n": int64(5), "nothing": nil}}, nil
		case "ConfigMap/shop/":
			return map[string]any{"items": []any{map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": "b"}}}}, nil
		case "Node//none":
			return map[string]any{}, nil
		}
		return nil, away
	}
	for name, r := range map[string]*Renderer{"worker": renderer(t), "this process": New(Options{})} {
		files, err := r.Render(t.Context(), j)
		if err != nil || files["web/templates/a.yaml"] != "5 b map[]" {
			t.Errorf("%s: Render = %q, %v", name, files, err)
		}
		wrong := jobOf(`{{ lookup "v1" "Secret" "shop" "a" }}`)
		wrong.Lookup = j.Lookup
		if _, err := r.Render(t.Context(), wrong); !errors.Is(err, away) || !strings.Contains(err.Error(), "templates/a.yaml") {
			t.Errorf("%s: Render with a cluster that is away = %v", name, err)
		}
	}
}

// TestLog: what Helm logs about values comes from a worker, too.
func TestLog(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	j := jobOf("a: 1")
	j.Values = map[string]any{"text": map[string]any{"a": 1}}
	if _, err := renderer(t).Render(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if got := logged.String(); !strings.HasPrefix(got, "warning: ") || !strings.HasSuffix(got, "\n") {
		t.Errorf("logged: %q", got)
	}
}

// TestNoWorker: what cannot render says so, and nothing is left of it.
func TestNoWorker(t *testing.T) {
	for program, want := range map[string]string{
		"/no/such/program": "start a process that renders charts: fork/exec /no/such/program: no such file or directory",
		"/bin/true":        "the process that renders charts has ended: exit status 0",
		"/bin/false":       "the process that renders charts has ended: exit status 1",
		"/usr/bin/yes":     "cannot read the response of the process that renders charts: ",
	} {
		r := New(Options{Executable: program})
		if _, err := r.Render(t.Context(), jobOf("a: 1")); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Render by %s = %v, want %s", program, err, want)
		}
	}
	if err := Main(strings.NewReader("by hand\n"), &bytes.Buffer{}, func(int) {}); err == nil {
		t.Error("Main by hand is not an error")
	}
}

// TestOwnProcess: without a program for workers, charts are rendered here, and the
// bound on output holds.
func TestOwnProcess(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	r := New(Options{Output: 100})
	var bound *BoundError
	if _, err := r.Render(ctx, jobOf(`{{ repeat 101 "x" }}`)); !errors.As(err, &bound) || bound.Template != "web/templates/a.yaml" || bound.Bound != "more than 100 bytes of output" {
		t.Errorf("Render = %v", err)
	}
	why := errors.New("enough")
	cancel(why)
	if _, err := r.Render(ctx, jobOf("a: 1")); !errors.Is(err, why) {
		t.Errorf("Render with a context that has ended = %v", err)
	}
}

func TestDefaults(t *testing.T) {
	o := Options{}.complete()
	if o.Memory != 1<<30 || o.Time != time.Minute || o.Output != 16<<20 || o.Objects != 10_000 || o.Workers < 1 || o.Workers > 4 {
		t.Errorf("the defaults are %+v", o)
	}
	for n, want := range map[int64]string{100: "100 bytes", 1 << 10: "1 KiB", 1500: "1500 bytes", 16 << 20: "16 MiB", 3 << 30: "3 GiB", 1 << 40: "1024 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}
