package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// scriptObject waits until the cluster of a home has an object or a list at a path of its
// API whose JSON matches; with !, until there is none.
func scriptObject(home string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if len(args) != 1 && len(args) != 2 {
			ts.Fatalf("usage: [!] object PATH [REGEXP]")
		}
		want, err := regexp.Compile(append(args, "")[1])
		ts.Check(err)
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(home, "cluster", "kubeconfig"))
		ts.Check(err)
		client, err := kubernetes.NewForConfig(config)
		ts.Check(err)
		var data []byte
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			data, err = client.RESTClient().Get().AbsPath(args[0]).DoRaw(context.Background())
			if err != nil && !apierrors.IsNotFound(err) {
				ts.Check(err)
			}
			if (err == nil && want.Match(data)) != neg {
				return
			}
		}
		ts.Fatalf("%s: found %v, want %v of %s: %v\n%s", args[0], neg, !neg, want, err, data)
	}
}

// scriptCreate creates an object at a path of the API of the cluster of a home, from a file
// with its JSON.
func scriptCreate(home string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 2 {
			ts.Fatalf("usage: create PATH FILE")
		}
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(home, "cluster", "kubeconfig"))
		ts.Check(err)
		client, err := kubernetes.NewForConfig(config)
		ts.Check(err)
		body := []byte(ts.ReadFile(args[1]))
		ts.Check(client.RESTClient().Post().AbsPath(args[0]).SetHeader("Content-Type", "application/json").Body(body).Do(context.Background()).Error())
	}
}

// logPath matches the API path of the log of a pod.
var logPath = regexp.MustCompile(`^/api/v1/namespaces/[^/]+/pods/([^/]+)/log$`)

// scriptKubelet creates a proxy of the cluster on which pods have logs, as simulated pods
// have none: for each container one line, which is the name of its pod. A followed log does
// not end.
func scriptKubelet(home string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: kubelet KUBECONFIG")
		}
		server, err := newProxy(home, ts.MkAbs(args[0]), withLogs)
		ts.Check(err)
		ts.Defer(func() {
			server.Listener.Close() // a program that is still running would reconnect
			server.CloseClientConnections()
			server.Close()
		})
	}
}

// withLogs is a proxy of a cluster whose pods have logs.
func withLogs(cluster http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pod := logPath.FindStringSubmatch(r.URL.Path)
		if pod == nil {
			cluster.ServeHTTP(w, r)
			return
		}
		fmt.Fprintf(w, "%s I am %s\n", time.Now().UTC().Format(time.RFC3339Nano), pod[1])
		if follow, _ := strconv.ParseBool(r.URL.Query().Get("follow")); follow {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	})
}
