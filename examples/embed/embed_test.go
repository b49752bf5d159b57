package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// serve serves the teams of a folder, on a world in memory.
func serve(t *testing.T, dir string) (url string, world *runtimetest.World) {
	t.Helper()
	h, err := newHouse(dir, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	world = runtimetest.NewWorld()
	world.Registry.Upstream("docker.io/library/postgres:17", "sha256:1")
	h.open = func(context.Context, string) (*local.Runtime, error) {
		return &local.Runtime{Runtime: *world.Runtime()}, nil
	}
	server := httptest.NewServer(h.handler())
	t.Cleanup(server.Close)
	return server.URL, world
}

// ask sends a request and returns the status and the lines of the answer.
func ask(t *testing.T, method, url string) (int, []string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-User", "ana")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var lines []string
	scan := bufio.NewScanner(resp.Body)
	for scan.Scan() {
		lines = append(lines, scan.Text())
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, lines
}

// An event is what these tests look at of one.
type event struct {
	Kind, Service, Stage string
	State                runtime.State
	Record               *runtime.RunRecord
}

func events(t *testing.T, lines []string) []event {
	t.Helper()
	all := make([]event, len(lines))
	for i, line := range lines {
		if err := json.Unmarshal([]byte(line), &all[i]); err != nil {
			t.Fatalf("%v in event %q", err, line)
		}
	}
	return all
}

func TestPreview(t *testing.T) {
	url, world := serve(t, "testdata/teams")
	status, lines := ask(t, http.MethodGet, url+"/payments/staging")
	var steps []runtime.Step
	if err := json.Unmarshal([]byte(strings.Join(lines, "\n")), &steps); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %v: %q", status, err, lines)
	}
	var got []string
	for _, s := range steps {
		got = append(got, fmt.Sprint(s.Service, ": ", s.Image, ", ", s.Do))
	}
	if diff := cmp.Diff([]string{"db: mirror, deploying", "api: build, deploying"}, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if n := world.Count("Deployer.Deploy"); n != 0 {
		t.Errorf("a preview has deployed %d services", n)
	}
}

// A deploy tells what happens as it happens, and again changes nothing (A7).
func TestDeploy(t *testing.T) {
	url, _ := serve(t, "testdata/teams")
	for _, want := range []runtime.State{runtime.Done, runtime.Unchanged} {
		status, lines := ask(t, http.MethodPost, url+"/payments/staging")
		all := events(t, lines)
		if status != http.StatusOK || len(all) < 2 || all[0].Kind != "run.started" {
			t.Fatalf("status %d, events %q", status, lines)
		}
		last := all[len(all)-1]
		if last.Kind != "run.ended" || last.Record == nil || last.Record.By != "ana" {
			t.Fatalf("the last event is %q", lines[len(lines)-1])
		}
		got := map[string]runtime.State{}
		for _, s := range last.Record.Services {
			got[s.Service] = s.State
		}
		if diff := cmp.Diff(map[string]runtime.State{"db": want, "api": want}, got); diff != "" {
			t.Errorf("services (-want +got):\n%s", diff)
		}
	}
}

// team makes a folder of a team with a Pipelinefile.
func team(t *testing.T, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "payments"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "payments", "Pipelinefile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What is wrong is told with its position, also by the host's own words and rules.
func TestWrongFile(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"a builtin of the host": {
			`pipeline("payments")` + "\n" + `container("a", image = "a:1", labels = owner("paymnets"))`,
			`Pipelinefile:2:46: owner: team: there is no team "paymnets"` + "\n" +
				`    container("a", image = "a:1", labels = owner("paymnets"))` + "\n" + strings.Repeat(" ", 49) + "^\n" +
				`    did you mean "payments"?`,
		},
		"a module of the host": {
			`load("@house//service.star", "service")` + "\n" + `pipeline("payments")` + "\n" + `service("api", team = "payments", tier = 4)`,
			"want 1 to 3, got 4",
		},
		"rules of the house": {
			`pipeline("shop")` + "\n" + `container("a", image = "a:1")`,
			`Pipelinefile:1:1: the pipeline of team payments is named "shop"` + "\n    pipeline(\"shop\")\n    ^\n" + `    write pipeline("payments")` + "\n" +
				`Pipelinefile:2:1: service a has no owner` + "\n    container(\"a\", image = \"a:1\")\n    ^\n" + `    give it labels = owner("payments")`,
		},
		"the file of another team": {`read_file("../secret")`, "leaves the workspace"},
		"a loop without end":       {"def f():\n    for i in range(1 << 60):\n        pass\nf()", "takes more than 10000000 steps"},
		"too large a text":         {`x = "a" * (1 << 40)`, "Pipelinefile:1:9: "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := serve(t, team(t, tt.text))
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				status, lines := ask(t, method, url+"/payments/staging")
				var got problem
				if err := json.Unmarshal([]byte(strings.Join(lines, "\n")), &got); err != nil {
					t.Fatal(err)
				}
				if status != http.StatusUnprocessableEntity || !strings.Contains(got.Error, tt.want) || len(got.Diagnostics) == 0 {
					t.Errorf("%s: status %d, error %q with %d diagnostics; want 422 with %q", method, status, got.Error, len(got.Diagnostics), tt.want)
				}
			}
		})
	}
}

func TestOtherTeam(t *testing.T) {
	url, _ := serve(t, "testdata/teams")
	for _, path := range []string{"/nobody/staging", "/..%2fpayments/staging"} {
		if status, lines := ask(t, http.MethodPost, url+path); status != http.StatusNotFound {
			t.Errorf("POST %s: status %d, %q, want 404", path, status, lines)
		}
	}
}

// Of two deploys of one environment the second is refused (A5).
func TestLocked(t *testing.T) {
	url, world := serve(t, "testdata/teams")
	deploying, enough := make(chan struct{}), make(chan struct{})
	var once sync.Once
	world.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Deployer.Deploy" {
			once.Do(func() {
				close(deploying)
				<-enough
			})
		}
		return nil
	}
	first := make(chan error, 1)
	go func() {
		resp, err := http.Post(url+"/payments/staging", "", nil)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body) // to hang up would end the run
			resp.Body.Close()
		}
		first <- err
	}()
	select {
	case <-deploying:
	case err := <-first:
		t.Fatalf("the first deploy has ended already: %v", err)
	}
	status, lines := ask(t, http.MethodPost, url+"/payments/staging")
	if status != http.StatusConflict {
		t.Errorf("status %d, %q, want 409", status, lines)
	}
	close(enough)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// Whoever hangs up ends the run: what is being deployed is finished, nothing else starts, the lease is released (A4).
func TestHangUp(t *testing.T) {
	url, world := serve(t, "testdata/teams")
	deploying := make(chan struct{})
	var once sync.Once
	world.Hook = func(ctx context.Context, c runtimetest.Call) error {
		if c.Op == "Deployer.Deploy" {
			once.Do(func() {
				close(deploying)
				<-ctx.Done()
			})
		}
		return nil
	}
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/payments/staging", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-deploying
	hangUp()
	for status := http.StatusConflict; status == http.StatusConflict; { // until the run has ended
		status, _ = ask(t, http.MethodPost, url+"/payments/staging")
	}
	var first runtime.RunRecord
	runs, err := world.Store.Runs(t.Context(), runtime.EnvironmentKey{Pipeline: "payments", Name: "staging"})
	if err != nil || len(runs) != 2 {
		t.Fatalf("%d runs are recorded, %v; want 2", len(runs), err)
	}
	first = runs[1]
	for _, s := range first.Services {
		if s.Service == "api" && s.State != runtime.Cancelled {
			t.Errorf("api of the run that nobody listened to is %s, want %s", s.State, runtime.Cancelled)
		}
	}
}

func TestNewHouse(t *testing.T) {
	_, err := newHouse(t.TempDir(), local.Options{})
	if err == nil || !strings.Contains(err.Error(), "has a Pipelinefile") {
		t.Errorf("newHouse of an empty folder: %v", err)
	}
}
