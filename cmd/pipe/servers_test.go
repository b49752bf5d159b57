package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// TestServers runs the scripts in testdata/servers with the real command on real servers: an
// API server whose pods become ready without running, the embedded registry and, if a script
// builds, the embedded BuildKit. All scripts share one home, so each has its own name of an
// environment. $HERE is that home, $ELSEWHERE that of another machine, and $CLUSTER the
// kubeconfig for both. In addition to the commands of TestScript there are
//
//	upstream VAR IMAGE…   serves images such as redis:7; $VAR is the registry. If there is one already, these images become others; ! upstream VAR ends it
//	image REF DIR CONFIG  pushes an image for this machine with the files of a directory and with a configuration, which is JSON
//	smalldisk DIR SIZE    a file system of that size, such as 8m, at DIR
//	bigfile FILE SIZE     a file of that many bytes that do not compress
//	patch NAMESPACE DEPLOYMENT PATCH   changes it manually
//	proxy KUBECONFIG LOG  a proxy of the cluster that logs each request
//	object PATH [REGEXP]  waits until the cluster has it, and it matches; ! until not
//	kubelet KUBECONFIG    a proxy of the cluster on which pods have logs
//	fetch FILE REGEXP     asks what pipe forward -o json has written to the file until it answers that; each request succeeds
//	dialogue FILE COMMAND… runs a command on a terminal, as the file says
//	registry VAR FILE     a registry that pods of a real cluster reach, too; $VAR is its address, and FILE its certificate
//	gate VAR              a server for builds in a real cluster, at port $VAR of $VAR_HOST, which says "shut"; again: "open"
//	killpod NAMESPACE POD deletes a pod
//
// and the conditions [buildkit] and [root].
func TestServers(t *testing.T) {
	runServers(t, "testdata/servers", serversHome(t, "simulated"))
}

// A verb without a Pipelinefile looks for an environment in the whole cluster, which the scripts
// of testdata/servers share. So the environments that a script names without their pipeline
// there have names that no other script uses.
func TestServersNamesDiffer(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/servers/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	made := regexp.MustCompile(`(?m)pipe (?:\S.* --env|clone \S+|preview \S+ .*--name) ([a-z][a-z0-9-]*)`)
	alone := regexp.MustCompile(`pipe (?:status|stop|start|restart|delete|deploy|history|events|logs|exec|forward|clone|preview|skip|unskip|move|cancel|wait) ([a-z][a-z0-9-]*)(?: |$)`)
	makers := map[string][]string{}
	searched := map[string]string{}
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ = bytes.Cut(script, []byte("\n-- "))
		for _, m := range made.FindAllSubmatch(script, -1) {
			if name := string(m[1]); !slices.Contains(makers[name], file) {
				makers[name] = append(makers[name], file)
			}
		}
		var nowhere bool
		for line := range strings.Lines(string(script)) {
			line = strings.TrimSuffix(line, "\n")
			if to, ok := strings.CutPrefix(line, "cd "); ok {
				nowhere = to == "elsewhere" || to == "none" || to == "../none"
			}
			if m := alone.FindStringSubmatch(line); nowhere && m != nil {
				searched[m[1]] = file
			}
		}
	}
	if len(searched) < 5 {
		t.Errorf("only %v are searched in the whole cluster", searched)
	}
	for name, file := range searched {
		if len(makers[name]) > 1 {
			t.Errorf("%s searches %s in the whole cluster, and %v make one", file, name, makers[name])
		}
	}
}

// TestCrash runs scripts that crash their cluster, which other tests do not use. Only one
// script at a time can use it, so testdata/crash may have only one.
func TestCrash(t *testing.T) {
	runServers(t, "testdata/crash", serversHome(t, "simulated"))
}

// TestReal runs scripts in which pods really run. A machine can have only one real cluster,
// so other tests that need one wait.
func TestReal(t *testing.T) {
	if !slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), "real") {
		t.Skip("it takes the one real cluster of this machine: PIPE_TEST_REQUIRE does not name real")
	}
	runServers(t, "testdata/real", serversHome(t, "real"))
}

func runServers(t *testing.T, dir, home string) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		UpdateScripts:       *update,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Condition:           condition,
		Setup: func(env *testscript.Env) error {
			if err := isolate(env); err != nil {
				return err
			}
			env.Setenv("ELSEWHERE", env.Getenv("PIPE_HOME"))
			env.Setenv("HERE", home)
			env.Setenv("CLUSTER", filepath.Join(home, "cluster", "kubeconfig"))
			env.Setenv("PIPE_HOME", home)
			env.Setenv("PIPE_LOCAL", "true")
			if cache, err := os.UserCacheDir(); err == nil { // scripts that compile can use the build cache
				env.Setenv("GOCACHE", filepath.Join(cache, "go-build"))
			}
			env.Setenv("PIPE_PROGRESS", "quiet")
			programs, err := filepath.Abs("../../bin") // with pipe-cluster and, for builders in a cluster, BuildKit
			env.Setenv("PATH", env.Getenv("PATH")+string(filepath.ListSeparator)+programs)
			env.Setenv("BIN", programs)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": scriptStatus, "upstream": scriptUpstream(), "image": scriptImage, "smalldisk": scriptSmallDisk, "bigfile": scriptBigFile, "await": scriptAwait, "patch": scriptPatch(home), "proxy": scriptProxy(home),
			"object": scriptObject(home), "create": scriptCreate(home), "vault": scriptVault(), "sigstore": scriptSigstore, "kubelet": scriptKubelet(home), "fetch": scriptFetch, "dialogue": scriptDialogue,
			"registry": scriptRegistry, "gate": scriptGate(), "killpod": scriptKillPod(home),
		},
	})
}

// serversHome returns a home with a running cluster. Its servers end with the test, even if
// the test is killed.
func serversHome(t testing.TB, node string) string {
	t.Helper()
	cluster, err := filepath.Abs("../../bin/pipe-cluster")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cluster); err != nil {
		missing(t, "cluster", fmt.Errorf("%w; build it with: make cluster", err))
	}
	pipe, err := exec.LookPath("pipe") // where testscript has put it
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "pipe") //nolint:usetesting // short: it holds unix sockets; and it is removed after the servers have ended
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "cluster")
	stop := exec.Command("sh", "-c", `trap '' INT; cat >/dev/null; PIPE_HOME="$0" "$1" daemon stop; "$2" down --dir "$3"; rm -rf "$0"`, home, pipe, cluster, dir)
	alive, err := stop.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	stop.Stdout, stop.Stderr = &said, &said
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		alive.Close()
		if err := stop.Wait(); err != nil {
			t.Errorf("stopping the servers: %v\n%s", err, said.String())
		}
	})
	for deadline := time.Now().Add(15 * time.Minute); ; time.Sleep(time.Second) {
		out, err := exec.Command(cluster, "up", "--dir", dir, "--node", node).CombinedOutput()
		if err == nil {
			return home
		}
		if !strings.Contains(string(out), "this machine has a real cluster already") || time.Now().After(deadline) {
			missing(t, "cluster", fmt.Errorf("%w\n%s", err, out))
		}
	}
}

// missing ends the test, because the named server is not available.
func missing(t testing.TB, server string, why error) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), server) {
		t.Fatalf("PIPE_TEST_REQUIRE names %s, but: %v", server, why)
	}
	t.Skipf("no %s for tests: %v", server, why)
}

func scriptUpstream() func(*testscript.TestScript, bool, []string) {
	var mu sync.Mutex
	servers := map[string]*httptest.Server{} // by address; guarded by mu
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg && len(args) != 1 || !neg && len(args) < 2 {
			ts.Fatalf("usage: upstream VAR IMAGE…, or ! upstream VAR")
		}
		mu.Lock()
		defer mu.Unlock()
		server := servers[ts.Getenv(args[0])]
		switch {
		case neg:
			server.CloseClientConnections()
			server.Close()
		case server != nil:
			ts.Check(pushRandom(server, args[1:]))
		default:
			server, err := newUpstream(args[1:])
			ts.Check(err)
			ts.Defer(server.Close)
			addr := strings.TrimPrefix(server.URL, "http://")
			servers[addr] = server
			ts.Setenv(args[0], addr)
		}
	}
}

// newUpstream returns a registry with the given images.
func newUpstream(images []string) (*httptest.Server, error) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	return server, pushRandom(server, images)
}

// pushRandom pushes images with random content to a registry.
func pushRandom(server *httptest.Server, images []string) error {
	for _, image := range images {
		ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/" + image)
		if err != nil {
			return err
		}
		content, err := random.Image(1000, 2)
		if err != nil {
			return err
		}
		if err := remote.Write(ref, content); err != nil {
			return err
		}
	}
	return nil
}

func scriptBigFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bigfile FILE SIZE")
	}
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE REGEXP")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var data []byte
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if data, err = os.ReadFile(ts.MkAbs(args[0])); err == nil && want.Match(data) {
			return
		}
	}
	ts.Fatalf("%s has no line that matches %s:\n%s", args[0], args[1], data)
}

// forwardedURL matches the URL of a port in the output of pipe forward -o json.
var forwardedURL = regexp.MustCompile(`"url":"(http:[^"]+)"`)

func scriptFetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fetch FILE REGEXP")
	}
	url := forwardedURL.FindStringSubmatch(ts.ReadFile(args[0]))
	if url == nil {
		ts.Fatalf("%s has no URL", args[0])
	}
	want, err := regexp.Compile(args[1])
	ts.Check(err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	var body []byte
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(url[1])
		ts.Check(err)
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Check(err)
		if want.Match(body) {
			return
		}
	}
	ts.Fatalf("%s answers %q, want %s", url[1], body, want)
}

func scriptPatch(home string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 3 {
			ts.Fatalf("usage: patch NAMESPACE DEPLOYMENT PATCH")
		}
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(home, "cluster", "kubeconfig"))
		ts.Check(err)
		client, err := kubernetes.NewForConfig(config)
		ts.Check(err)
		_, err = client.AppsV1().Deployments(args[0]).Patch(context.Background(), args[1], types.StrategicMergePatchType, []byte(args[2]), metav1.PatchOptions{})
		ts.Check(err)
	}
}

func scriptProxy(home string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 2 {
			ts.Fatalf("usage: proxy KUBECONFIG LOG")
		}
		requests, err := os.Create(ts.MkAbs(args[1]))
		ts.Check(err)
		ts.Defer(func() { requests.Close() })
		server, err := newProxy(home, ts.MkAbs(args[0]), telling(func(r *http.Request) { fmt.Fprintln(requests, r.Method, r.URL) }))
		ts.Check(err)
		ts.Defer(server.Close)
	}
}

// newProxy returns a proxy of the cluster of a home, and writes its kubeconfig. The proxy
// reports each request.
func newProxy(home, kubeconfig string, front func(cluster http.Handler) http.Handler) (*httptest.Server, error) {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(home, "cluster", "kubeconfig"))
	if err != nil {
		return nil, err
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(front(&httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}))
	file := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: %q}}]\nusers: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n", server.URL)
	return server, os.WriteFile(kubeconfig, []byte(file), 0o600)
}

// telling returns a handler that reports each request.
func telling(tell func(*http.Request)) func(http.Handler) http.Handler {
	return func(cluster http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tell(r)
			cluster.ServeHTTP(w, r)
		})
	}
}

func scriptSmallDisk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: smalldisk DIR SIZE")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+args[1], "tmpfs", dir).CombinedOutput(); err != nil {
		ts.Fatalf("mount: %v: %s", err, out)
	}
	ts.Defer(func() {
		var out []byte
		var err error
		// Wait until the last process that uses it has ended.
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			if out, err = exec.Command("umount", dir).CombinedOutput(); err == nil {
				return
			}
		}
		ts.Logf("umount: %v: %s", err, out)
	})
}

// condition evaluates conditions of scripts about this machine. BuildKit and the lifecycle count as
// available if PIPE_TEST_REQUIRE names them, so that their absence is a failure.
func condition(cond string) (bool, error) {
	required := slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), cond)
	switch cond {
	case "buildkit":
		_, err := exec.LookPath("runc")
		return required || err == nil && os.Getuid() == 0, nil
	case "lifecycle":
		_, err := os.Stat("../../bin/lifecycle")
		return required || err == nil, nil
	case "root":
		return os.Getuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}
