package build

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/pipelinefile/pipe/runtime"
)

// tell returns the events for these reports of BuildKit.
func tell(t *testing.T, hide func(string) string, reports ...*client.SolveStatus) []runtime.Body {
	t.Helper()
	var events []runtime.Body
	p := newProgress(func(b runtime.Body) { events = append(events, b) }, hide)
	status := make(chan *client.SolveStatus, len(reports))
	for _, r := range reports {
		status <- r
	}
	close(status)
	p.follow(status)
	return events
}

func same(s string) string { return s }

var (
	d1 = digest.FromString("1")
	id = d1.Encoded()[:12]
	t0 = time.Unix(1000, 0)
)

func at(seconds float64) *time.Time {
	t := t0.Add(time.Duration(seconds * float64(time.Second)))
	return &t
}

func vertex(v client.Vertex) *client.SolveStatus {
	v.Digest, v.Name = d1, "RUN make"
	return &client.SolveStatus{Vertexes: []*client.Vertex{&v}}
}

func printed(text string) *client.SolveStatus {
	return &client.SolveStatus{Logs: []*client.VertexLog{{Vertex: d1, Data: []byte(text)}}}
}

func TestProgressSteps(t *testing.T) {
	step := func(s runtime.BuildStep) runtime.Body {
		s.ID, s.Name = id, "RUN make"
		return s
	}
	for _, test := range []struct {
		name    string
		reports []*client.SolveStatus
		want    []runtime.Body
	}{
		{"one that runs", []*client.SolveStatus{
			vertex(client.Vertex{}), vertex(client.Vertex{Started: at(0)}), vertex(client.Vertex{Started: at(0), Completed: at(2)}),
		}, []runtime.Body{step(runtime.BuildStep{Started: true}), step(runtime.BuildStep{Done: true, Took: 2 * time.Second})}},
		{"one from the cache", []*client.SolveStatus{
			vertex(client.Vertex{Started: at(0), Completed: at(0), Cached: true}),
		}, []runtime.Body{step(runtime.BuildStep{Done: true, Cached: true})}},
		{"one that was looked at before it runs", []*client.SolveStatus{
			vertex(client.Vertex{Started: at(0), Completed: at(0.0001)}), vertex(client.Vertex{Started: at(1)}), vertex(client.Vertex{Started: at(1), Completed: at(3)}),
		}, []runtime.Body{step(runtime.BuildStep{Started: true}), step(runtime.BuildStep{Done: true, Took: 2 * time.Second})}},
		{"one that was looked at and then found in the cache", []*client.SolveStatus{
			vertex(client.Vertex{Started: at(0), Completed: at(0.0001)}), vertex(client.Vertex{Started: at(1), Completed: at(1), Cached: true}),
		}, []runtime.Body{step(runtime.BuildStep{Started: true}), step(runtime.BuildStep{Done: true, Cached: true})}},
		{"one that takes no time", []*client.SolveStatus{
			vertex(client.Vertex{Started: at(0), Completed: at(0.0001)}),
		}, []runtime.Body{step(runtime.BuildStep{Started: true}), step(runtime.BuildStep{Done: true, Took: 100 * time.Microsecond})}},
		{"one that fails", []*client.SolveStatus{
			vertex(client.Vertex{Started: at(0)}), vertex(client.Vertex{Started: at(0), Completed: at(1), Error: "exit code: 1"}),
			vertex(client.Vertex{Started: at(0), Completed: at(1), Error: "exit code: 1"}),
		}, []runtime.Body{step(runtime.BuildStep{Started: true}), step(runtime.BuildStep{Done: true, Took: time.Second, Error: "exit code: 1"})}},
		{"one that runs twice", []*client.SolveStatus{
			vertex(client.Vertex{Started: at(0)}), vertex(client.Vertex{Started: at(0), Completed: at(1)}),
			vertex(client.Vertex{Started: at(2)}), vertex(client.Vertex{Started: at(2), Completed: at(3)}),
		}, []runtime.Body{step(runtime.BuildStep{Started: true}), step(runtime.BuildStep{Done: true, Took: time.Second}),
			step(runtime.BuildStep{Started: true}), step(runtime.BuildStep{Done: true, Took: time.Second})}},
		{"bytes", []*client.SolveStatus{
			vertex(client.Vertex{Started: at(0)}),
			{Statuses: []*client.VertexStatus{{ID: "a", Vertex: d1, Current: 5, Total: 10}}},
			{Statuses: []*client.VertexStatus{{ID: "a", Vertex: d1, Current: 10, Total: 10}, {ID: "b", Vertex: d1, Current: 1, Total: 4}}},
			vertex(client.Vertex{Started: at(0), Completed: at(1)}),
		}, []runtime.Body{step(runtime.BuildStep{Started: true}), step(runtime.BuildStep{Bytes: 5, Of: 10}),
			step(runtime.BuildStep{Done: true, Took: time.Second, Bytes: 11, Of: 14})}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, tell(t, same, test.reports...)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProgressLines(t *testing.T) {
	hide := hider(map[string]runtime.Secret{"a": runtime.NewSecret("hunter2\n"), "b": runtime.NewSecret("line one\ntwo two\nx\n"), "c": runtime.NewSecret("hunter")})
	long := strings.Repeat("a", longLine+10)
	for _, test := range []struct {
		name    string
		printed []string
		want    []string
	}{
		{"lines", []string{"a\nb\r\n\nc\n"}, []string{"a", "b", "", "c"}},
		{"in pieces", []string{"a", "b\nc", "d\n"}, []string{"ab", "cd"}},
		{"no end", []string{"a\nb"}, []string{"a", "b"}},
		{"written over", []string{"10%\r20%\r100%\n"}, []string{"100%"}},
		{"not text", []string{"a\xffb\n"}, []string{"a\uFFFDb"}},
		{"long", []string{long + "\nb\n"}, []string{long[:longLine], long[:10], "b"}},
		{"long without end", []string{long}, []string{long[:longLine], long[:10]}},
		{"a secret", []string{"is hunt", "er2!\n"}, []string{"is REDACTED!"}},
		{"a secret in another", []string{"hunter and hunter2\n"}, []string{"REDACTED and REDACTED"}},
		{"a secret of lines", []string{"line one\n two two\nx\n"}, []string{"REDACTED", " REDACTED", "x"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			reports := []*client.SolveStatus{vertex(client.Vertex{Started: at(0)})}
			for _, text := range test.printed {
				reports = append(reports, printed(text))
			}
			var got []string
			for _, e := range tell(t, hide, reports...) {
				if l, ok := e.(runtime.Log); ok {
					got = append(got, l.Text)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInstruction(t *testing.T) {
	lines := strings.Split("FROM a\nRUN x && \\\n    # why\n    y \\\n\n    z\n", "\n")
	if got, want := instruction(lines, 2, 6), "RUN x && y z"; got != want {
		t.Errorf("instruction = %q, want %q", got, want)
	}
	if got := instruction(lines, 9, 12); got != "" {
		t.Errorf("instruction of no lines = %q", got)
	}
}
