package runtime_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

var update = flag.Bool("update", false, "rewrite golden files")

// everyEvent has each kind of event with all fields set, and those that can be
// empty once more without.
func everyEvent() []runtime.Event {
	at := time.Date(2031, 2, 3, 4, 5, 6, 700_000_000, time.UTC)
	pos := plan.Pos{File: "Pipelinefile", Line: 3, Col: 7}
	record := &runtime.RunRecord{
		ID: "20310203-040506-0a1b2c3d", Action: runtime.Deploy, By: "ana@laptop", Commit: "4f3a9c1",
		PlanDigest: "sha256:00", Inputs: "sha256:02", Start: at, End: at.Add(time.Minute), Error: "service api failed: it crashes",
		Services: []runtime.ServiceRecord{
			{
				Service: "api", Stage: "applications", State: runtime.Failed, Reason: "changed", Image: "localhost:5000/api@sha256:01",
				Start: at, End: at.Add(time.Second), Error: "it crashes", Cause: runtime.CauseCrash, Evidence: []string{"pod api-0: CrashLoopBackOff"},
			},
			{Service: "web", Stage: "applications", State: runtime.Cancelled},
			{Service: "db", Stage: "databases", State: runtime.Unchanged, Reason: "stopped by another run", LeftAlone: &runtime.LeftAlone{Service: "db", Action: runtime.Stop}},
		},
	}
	bodies := []struct {
		stage, service string
		body           runtime.Body
	}{
		{"", "", runtime.RunStarted{Run: record.ID, Action: runtime.Deploy, Namespace: "shop-staging", Stages: []runtime.StageOutline{{Name: "applications", Services: []string{"api", "web"}}}}},
		{"applications", "", runtime.StageStarted{}},
		{"applications", "", runtime.StageEnded{}},
		{"applications", "", runtime.StageEnded{Failed: true}},
		{"applications", "api", runtime.StateChanged{State: runtime.Building, Reason: "no image of this source in the registry"}},
		{"applications", "api", runtime.StateChanged{State: runtime.Done}},
		{"applications", "api", runtime.BuildStep{ID: "1", Name: "RUN make", Started: true}},
		{"applications", "api", runtime.BuildStep{ID: "1", Name: "RUN make", Started: true, Done: true, Cached: true, Took: time.Second, Bytes: 1, Of: 2, Error: "exit status 2"}},
		{"applications", "api", runtime.Transfer{Image: "redis:7", Bytes: 1, Of: 2}},
		{"applications", "api", runtime.TagMoved{Image: "redis:7", From: "sha256:01", To: "sha256:02"}},
		{"applications", "api", runtime.Scanned{Image: "registry.test/api@sha256:01", Critical: 1, High: 2, Medium: 3, Low: 4, Unknown: 5, Above: 6}},
		{"applications", "api", runtime.Log{Source: "RUN make", Text: "cc -c \"main.c\" <ü>"}},
		{"applications", "api", runtime.PodChanged{Pod: "api-0", Phase: "Pending", Ready: true, Reason: "ImagePullBackOff: not found"}},
		{"applications", "api", runtime.WaitingFor{What: "deployment api: 1 of 2 replicas are available"}},
		{"applications", "api", runtime.Retried{What: "push", Error: "connection reset", Again: 1, Wait: 30, From: "tcp://one:1234", To: "tcp://two:1234"}},
		{"", "", runtime.Printed{Pos: pos, Text: "hello"}},
		{"a", "one", runtime.Adopts{ObjectKind: "Deployment", Namespace: "shop-dev", Name: "web", From: "kubectl", Diff: "-a\n+b\n", Restarts: true}},
		{"", "", runtime.Warned{Diagnostic: plan.Diagnostic{Severity: plan.SeverityWarning, Pos: pos, Message: "a tag can move"}}},
		{"", "", runtime.RunEnded{Record: record}},
		{"", "", runtime.FilesChanged{Paths: []string{"api/main.go"}}},
		{"", "", runtime.FilesChanged{Paths: []string{"api/main.go", "web/main.go"}, More: 3, Head: true}},
		{"", "", runtime.WatchChanged{State: runtime.Evaluating}},
		{"", "", runtime.WatchChanged{State: runtime.Settled, Reason: "service api failed: it crashes", Services: []string{"api"}, Inputs: "sha256:02", LeftAlone: []runtime.LeftAlone{{Service: "web", Action: runtime.Deploy, Revision: 3}}}},
		{"", "", runtime.WatchChanged{State: runtime.Wrong, Errors: []plan.Diagnostic{{Severity: plan.SeverityError, Pos: pos, Message: "undefined: x"}}}},
		{"applications", "api", runtime.ServiceRemoved{Prune: true}},
		{"applications", "api", runtime.PodLog{Pod: "api-0", Container: "api", Printed: at, Text: "listening on :8080"}},
		{"applications", "api", runtime.Forwarding{Port: 8080, URL: "http://127.0.0.1:8080", State: "waiting", Reason: "no pod is ready"}},
		{"applications", "api", runtime.Synced{Pod: "api-0", Container: "api", Files: 2, Removed: 1, Bytes: 3, Took: time.Second, Restarted: true, Error: "the image has no tar"}},
	}
	var events []runtime.Event
	for i, b := range bodies {
		events = append(events, runtime.Event{Seq: uint64(i + 1), Time: at, Stage: b.stage, Service: b.service, Body: b.body})
	}
	return append(events, runtime.Event{
		Seq: uint64(len(events) + 1), Time: at, Run: 2, Stage: "applications", Service: "api", Body: runtime.StateChanged{State: runtime.Deploying},
	})
}

func TestEventJSON(t *testing.T) {
	var got bytes.Buffer
	for _, e := range everyEvent() {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(line, '\n') {
			t.Errorf("an event takes more than a line: %s", line)
		}
		got.Write(append(line, '\n'))
	}
	const golden = "testdata/events.jsonl"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the JSON of events is an interface that others parse; go test ./runtime -update if it is meant to change (-want +got):\n%s", diff)
	}
}

// TestEventDocs holds docs/events.md to describe every kind and every field, and
// every event to have been shown by TestEventJSON.
func TestEventDocs(t *testing.T) {
	data, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for _, section := range strings.Split(string(data), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		sections[strings.Trim(title, "`")] = text
	}
	describes := func(section string, typ reflect.Type) {
		for _, field := range fields(typ) {
			if !strings.Contains(sections[section], "| `"+field+"` |") {
				t.Errorf("docs/events.md, section %q: does not describe the field %q", section, field)
			}
		}
	}
	shown := make(map[string]bool)
	for _, e := range everyEvent() {
		kind := e.Body.Kind()
		shown[kind] = true
		if _, ok := sections[kind]; !ok {
			t.Errorf("docs/events.md has no section %q", kind)
		}
		describes(kind, reflect.TypeOf(e.Body))
		for _, field := range fields(reflect.TypeOf(e.Body)) {
			switch field {
			case "seq", "time", "kind", "run_number", "stage", "service":
				t.Errorf("the field %q of %s is one that every event has", field, kind)
			}
		}
	}
	for _, field := range []string{"seq", "time", "kind", "run_number", "stage", "service"} {
		if !strings.Contains(sections["Every event"], "| `"+field+"` |") {
			t.Errorf("docs/events.md does not describe the field %q of every event", field)
		}
	}
	describes("run.started", reflect.TypeFor[runtime.StageOutline]())
	describes("Records", reflect.TypeFor[runtime.RunRecord]())
	describes("Records", reflect.TypeFor[runtime.ServiceRecord]())
	for _, state := range []runtime.State{
		runtime.Waiting, runtime.Building, runtime.Built, runtime.Deploying, runtime.Stopping, runtime.Restarting, runtime.Deleting,
		runtime.Done, runtime.Unchanged, runtime.Failed, runtime.Cancelled, runtime.Skipped,
	} {
		if !strings.Contains(sections["service.state"], "| `"+string(state)+"` |") {
			t.Errorf("docs/events.md does not describe the state %q", state)
		}
	}
	for _, state := range runtime.WatchStates() {
		if !strings.Contains(sections["watch"], "| `"+string(state)+"` |") {
			t.Errorf("docs/events.md does not describe the state %q of watch mode", state)
		}
	}
	// The kinds that the source declares: none is forgotten here.
	for _, file := range []string{"event.go", "eventwatch.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(source)) {
			if _, kind, ok := strings.Cut(line, "Kind() string"); ok && strings.Contains(kind, "return") {
				kind = strings.Split(kind, `"`)[1]
				if !shown[kind] {
					t.Errorf("no example of %s in everyEvent", kind)
				}
			}
		}
	}
}

// fields returns the names in JSON of the fields of a struct.
func fields(typ reflect.Type) []string {
	var names []string
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if name != "-" {
			names = append(names, name)
		}
	}
	return names
}
