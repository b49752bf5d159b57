package local

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func kubeconfigFor(t *testing.T, server string) string {
	t.Helper()
	return file(t, "kubeconfig", `apiVersion: v1
kind: Config
current-context: here
clusters: [{name: c, cluster: {server: "`+server+`"}}]
users: [{name: u, user: {token: abc}}]
contexts: [{name: here, context: {cluster: c, user: u}}, {name: broken, context: {cluster: gone, user: u}}]
`)
}

// TestCluster: a cluster that cannot be used is told with where it was looked
// for, why it cannot be used, and what to do (the point 11).
func TestCluster(t *testing.T) {
	serve := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	good := kubeconfigFor(t, serve(http.StatusOK))
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(other.Close)
	other.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that end early, as they are to
	missing := filepath.Join(t.TempDir(), "missing")
	const (
		name, start  = "name a kubeconfig", "start the cluster, or use another one"
		right, login = "correct the kubeconfig, or use another one", "log in to the cluster again, or use another kubeconfig"
	)
	tests := []struct {
		name string
		opts Options
		want string // of the error; empty: there is none
		next string // the beginning of what to do
	}{
		{"good", Options{Kubeconfig: good}, "", ""},
		{"forbidden", Options{Kubeconfig: kubeconfigFor(t, serve(http.StatusForbidden))}, "", ""},
		{"other credentials", Options{Kubeconfig: kubeconfigFor(t, serve(http.StatusUnauthorized))}, "it does not accept the credentials of the kubeconfig", login},
		{"broken server", Options{Kubeconfig: kubeconfigFor(t, serve(http.StatusBadGateway))}, "it answers with 502 Bad Gateway", start},
		{"not with TLS", Options{Kubeconfig: kubeconfigFor(t, serve(http.StatusBadRequest))}, "it answers with 400 Bad Request: check the server's address", right},
		{"nobody there", Options{Kubeconfig: kubeconfigFor(t, "http://127.0.0.1:1")}, "connection refused", start},
		{"another's certificate", Options{Kubeconfig: kubeconfigFor(t, other.URL)}, "x509: certificate signed by unknown authority", "get a new kubeconfig: "},
		{"no certificate", Options{Kubeconfig: kubeconfigFor(t, other.URL+`", certificate-authority-data: "AAAA`)}, "unable to load root certificates", right},
		{"no file", Options{Kubeconfig: missing}, "no such file", name},
		{"no file of $KUBECONFIG", Options{}, "no kubeconfig: there is no file " + missing, name},
		{"no YAML", Options{Kubeconfig: file(t, "kubeconfig", "{{")}, "kubeconfig ", name},
		{"empty", Options{Kubeconfig: file(t, "kubeconfig", "")}, "has no context", name},
		{"other context", Options{Kubeconfig: good, Context: "there"}, `has no context "there"; it has broken, here`, name},
		{"context without cluster", Options{Kubeconfig: good, Context: "broken"}, `context "broken" of `, name},
		{"local, passive", Options{Local: true, Passive: true, Home: "/nowhere"}, "the local Kubernetes in /nowhere/cluster does not run", "a run starts it"},
		{"local, no program", Options{Local: true, Home: t.TempDir(), Executable: "/nowhere/pipe"}, "the local Kubernetes needs pipe-cluster, which is neither /nowhere/pipe-cluster nor on the PATH", "put pipe-cluster beside pipe"},
	}
	t.Setenv("KUBECONFIG", missing)
	t.Setenv("PATH", t.TempDir())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := cluster(t.Context(), tt.opts)
			var unavailable *UnavailableError
			switch {
			case tt.want == "":
				if err != nil {
					t.Errorf("got %v, want none", err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("got %v, want %q", err, tt.want)
			case !errors.As(err, &unavailable) || !strings.HasPrefix(unavailable.Next, tt.next) || unavailable.Part != "cluster":
				t.Errorf("%v: got %+v, want what to do: %s", err, unavailable, tt.next)
			}
		})
	}
}

// TestLocalClusterStarts: the progress of pipe-cluster is passed on, its result is read
// as a value, and its failure includes the last lines of its output.
func TestLocalClusterStarts(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	t.Cleanup(s.Close)
	home := t.TempDir()
	config := kubeconfigFor(t, s.URL)
	program := func(script string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "pipe-cluster"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, "pipe")
	}
	var told, noticed []string
	opts := Options{Local: true, Home: home, Progress: func(s string) { told = append(told, s) }, Notice: func(s string) { noticed = append(noticed, s) }}

	opts.Executable = program(`echo "pipe-cluster: $*" >&2; echo '{"kubeconfig": "` + config + `", "impossible": "only root"}'`)
	got, err := cluster(t.Context(), opts)
	if err != nil || got.Host != s.URL {
		t.Fatalf("cluster: %v, %v", got, err)
	}
	want := "starting the local Kubernetes\nlocal Kubernetes: up --dir " + filepath.Join(home, "cluster") + " --output json"
	if text := strings.Join(told, "\n"); text != want {
		t.Errorf("told:\n%s\nwant:\n%s", text, want)
	}
	if text := strings.Join(noticed, "\n"); !strings.HasPrefix(text, "local Kubernetes: a real node is not possible here: only root\n") {
		t.Errorf("noticed: %q", text)
	}

	noticed = nil
	opts.Executable = program(`echo '{"kubeconfig": "` + config + `", "node": "real"}'`)
	if _, err := cluster(t.Context(), opts); err != nil || noticed != nil {
		t.Errorf("a real node: got error %v, noticed %q", err, noticed)
	}
	opts.Executable = program(`echo ` + config)
	if _, err := cluster(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "pipe and pipe-cluster must be of the same version") {
		t.Errorf("a result that is not JSON: got error %v", err)
	}

	opts.Executable = program(`echo "pipe-cluster: no room" >&2; exit 1`)
	if _, err = cluster(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "up: exit status 1\nno room") {
		t.Errorf("got %v, want the last words", err)
	}
	next := func(want string) {
		t.Helper()
		_, err := cluster(t.Context(), opts)
		var unavailable *UnavailableError
		if !errors.As(err, &unavailable) || unavailable.Next != want {
			t.Errorf("got %+v, want what to do: %s", unavailable, want)
		}
	}
	next("make the directory " + home + " writable, or use another one") // there are no logs yet
	logs := filepath.Join(home, "cluster", "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	next("its logs are in " + logs)

	opts.Executable = program(`trap 'exit 1' INT; while true; do sleep 0.01; done`)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by the user")
	opts.Progress = func(string) { cancel(stop) }
	if _, err = cluster(ctx, opts); !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
}
