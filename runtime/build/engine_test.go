package build_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	apitypes "github.com/moby/buildkit/api/types"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
)

// An engine is the API of a Docker engine whose BuildKit is at a socket.
type engine struct {
	buildkit string // address

	mu       sync.Mutex
	upgrades map[string]int // by path
}

// ServeHTTP upgrades connections as Docker does: /grpc to BuildKit, /session to a session.
func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	proto := r.Header.Get("Upgrade")
	if r.Method != http.MethodPost || proto != "h2c" || r.Header.Get("Connection") != "Upgrade" {
		http.NotFound(w, r)
		return
	}
	e.mu.Lock()
	e.upgrades[r.URL.Path]++
	e.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var to net.Conn
	var err error
	switch r.URL.Path {
	case "/grpc":
		to, err = net.Dial("unix", strings.TrimPrefix(e.buildkit, "unix://"))
	case "/session":
		var c *client.Client
		if c, err = client.New(ctx, e.buildkit); err == nil {
			defer c.Close()
			meta := map[string][]string{}
			for name, values := range r.Header {
				if strings.HasPrefix(name, "X-Docker-Expose-Session-") {
					meta[strings.ToLower(name)] = values
				}
			}
			to, err = c.Dialer()(ctx, proto, meta)
		}
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer to.Close()
	from, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	fmt.Fprintf(from, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", proto)
	done := make(chan struct{}, 2)
	go func() { io.Copy(to, buffered); done <- struct{}{} }()
	go func() { io.Copy(from, to); done <- struct{}{} }()
	<-done
}

// startEngine serves an API, and puts a program docker into PATH that connects to it. The
// arguments that the program was called with are in the file.
func startEngine(t testing.TB, api http.Handler) (args string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: api}}
	server.Start()
	t.Cleanup(server.Close)
	return program(t, "docker", socket)
}

// program puts a program into PATH that connects its standard streams with a socket, and
// writes its arguments into a file.
func program(t testing.TB, name, socket string) (args string) {
	t.Helper()
	bin := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args = filepath.Join(bin, "args")
	files{name + "*": fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%s\nexec %s dial-stdio %s\n", args, exe, socket)}.write(t, bin)
	t.(*testing.T).Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return args
}

// lines returns the distinct lines of a file, in the order of their first occurrence.
func lines(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); !seen[line] {
			all, seen[line] = append(all, line), true
		}
	}
	return strings.Join(all, "\n")
}

// TestDockerEngine builds with the BuildKit of a Docker engine.
func TestDockerEngine(t *testing.T) {
	for _, test := range []struct{ addr, args string }{
		{"docker://", "system dial-stdio"},
		{"docker://desktop-linux", "--context=desktop-linux system dial-stdio"},
	} {
		t.Run(test.addr, func(t *testing.T) {
			e := &engine{buildkit: buildkit(t), upgrades: map[string]int{}}
			args := startEngine(t, e)
			host := images(t)
			dir := workspace(t, files{"web/Dockerfile": shell + "COPY x /\nRUN --mount=type=secret,id=token cat /run/secrets/token\n", "web/busybox": "", "web/x": test.addr})
			b := build.New(build.Options{Dir: dir, Addresses: []string{test.addr}, Secrets: secrets{"token": "hush-hush"}})
			t.Cleanup(func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
			s := spec("web")
			s.Secrets = []plan.SecretRef{{Name: "token"}}
			if _, err := b.Identify(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			digest, _ := mustBuild(t, b, s, host+"/web:1")
			if head(t, host+"/web:1") != digest {
				t.Errorf("the image pushed is %s, want %s", head(t, host+"/web:1"), digest)
			}
			if got := lines(t, args); got != test.args {
				t.Errorf("docker was called with %q, want %q", got, test.args)
			}
			// It does not say its version, and old ones fail if they are asked.
			if bases := b.Bases(host + "/web:1"); bases != nil {
				t.Errorf("Bases = %v, although the engine must not be asked for its sources", bases)
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			// One session sends the context, and one has the secrets.
			if e.upgrades["/grpc"] != 1 || e.upgrades["/session"] != 2 {
				t.Errorf("the connections were upgraded to %v", e.upgrades)
			}
		})
	}
}

// A classic is the BuildKit of a Docker engine with the classic image store: its worker has no
// snapshotter of containerd.
type classic struct{ refusing }

func (*classic) ListWorkers(context.Context, *controlapi.ListWorkersRequest) (*controlapi.ListWorkersResponse, error) {
	return &controlapi.ListWorkersResponse{Record: []*apitypes.WorkerRecord{{
		ID: "moby", Platforms: []*pb.Platform{{OS: "linux", Architecture: "amd64"}},
		Labels: map[string]string{"org.mobyproject.buildkit.worker.moby.host-gateway-ip": "172.17.0.1"},
	}}}, nil
}

// TestDockerEngineUnfit tests Docker engines that cannot be used.
func TestDockerEngineUnfit(t *testing.T) {
	old := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", old)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	controlapi.RegisterControlServer(server, &classic{})
	go server.Serve(l)
	t.Cleanup(server.Stop)
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	for _, test := range []struct {
		name  string
		start func(t *testing.T)
		want  string
		do    string // the beginning of the advice
	}{
		{"the classic image store", func(t *testing.T) { startEngine(t, &engine{buildkit: old, upgrades: map[string]int{}}) },
			"BuildKit at docker://desk: the Docker engine cannot push what it builds, because it has the classic image store",
			"use its containerd image store ("},
		{"another server", func(t *testing.T) { startEngine(t, http.NotFoundHandler()) },
			"BuildKit at docker://desk cannot be reached: it answers 404 Not Found to POST /grpc: it is not a Docker engine with BuildKit: check that the Docker engine is running, and the name of the context",
			"run 'docker --context=desk info', which asks the engine, and 'docker context ls', which lists the contexts, or use another builder"},
		{"docker fails", func(t *testing.T) {
			bin := t.TempDir()
			files{"docker*": "#!/bin/sh\necho 'context \"desk\": context not found' >&2\nexit 1\n"}.write(t, bin)
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
		},
			`BuildKit at docker://desk cannot be reached: context "desk": context not found: check that the Docker engine is running, and the name of the context`,
			"run 'docker --context=desk info', which asks the engine, and 'docker context ls', which lists the contexts, or use another builder"},
		{"no docker", func(t *testing.T) { t.Setenv("PATH", t.TempDir()) },
			`BuildKit at docker://desk: the program docker connects to it: exec: "docker": executable file not found in $PATH`,
			"install docker, or use another builder"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.start(t)
			b := build.New(build.Options{Dir: dir, Addresses: []string{"docker://desk"}})
			defer b.Close()
			r, err := fails(t, b, onPlatform("web"), "127.0.0.1:1/web:1")
			var unreachable *build.UnreachableError
			if !errors.As(err, &unreachable) || err.Error() != test.want {
				t.Errorf("Build = %v\nwant %s", err, test.want)
			}
			if advice, _ := runtime.AdviceOf(err); !strings.HasPrefix(advice.Do, test.do) {
				t.Errorf("the advice is %q, want %q", advice.Do, test.do)
			}
			if retried := r.retried(); len(retried) > 0 {
				t.Errorf("the build is retried: %+v", retried)
			}
		})
	}
}

// TestSSH builds with a BuildKit that the program ssh connects to.
func TestSSH(t *testing.T) {
	args := program(t, "ssh", strings.TrimPrefix(buildkit(t), "unix://"))
	host := images(t)
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	for _, addr := range []string{"ssh://builder.test", "ssh://ci@builder.test:2222/run/user/1/buildkitd.sock"} {
		b := build.New(build.Options{Dir: dir, Addresses: []string{addr}})
		mustBuild(t, b, onPlatform("web"), host+"/web:1")
		b.Close()
	}
	want := "-- builder.test buildctl dial-stdio\n" +
		"-l ci -p 2222 -- builder.test buildctl --addr unix:///run/user/1/buildkitd.sock dial-stdio"
	if got := lines(t, args); got != want {
		t.Errorf("ssh was called with\n%s\nwant\n%s", got, want)
	}

	bin := t.TempDir()
	files{"ssh*": "#!/bin/sh\nread x\necho 'ci@builder.test: Permission denied (publickey).' >&2\nexit 255\n"}.write(t, bin)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	b := build.New(build.Options{Dir: dir, Addresses: []string{"ssh://ci@builder.test"}})
	defer b.Close()
	_, err := fails(t, b, onPlatform("web"), host+"/web:1")
	wanted := "BuildKit at ssh://ci@builder.test cannot be reached: ci@builder.test: Permission denied (publickey).: check that it is running, and its address"
	if err.Error() != wanted {
		t.Errorf("Build = %v\nwant %s", err, wanted)
	}
}

// TestCheckAddress tests addresses of builders.
func TestCheckAddress(t *testing.T) {
	for _, addr := range []string{
		"unix:///run/buildkit/buildkitd.sock", "tcp://host:1234", "ssh://host", "ssh://me@host:22/run/b.sock", "docker-container://buildkitd",
		"kube-pod://b?namespace=ci", "kube://pipe-builders", "kube://ci?context=ci%2Feu", "docker://", "docker://desktop-linux",
	} {
		if err := build.CheckAddress(addr); err != nil {
			t.Errorf("CheckAddress(%q) = %v", addr, err)
		}
	}
	for addr, want := range map[string]string{
		"":                             "that is not an address",
		"host:1234":                    "that is not an address",
		"tcp://":                       "that is not an address",
		"ssh://":                       "that is not an address",
		"ssh:///run/b.sock":            "that is not an address: no host specified",
		"ssh://host#x":                 "that is not an address: extra fragment after the host: \"x\"",
		"ssh://me:secret@host":         "the address has a user or a password in it: builders know who may build by certificates or SSH keys",
		"docker://a/b":                 "the address of a Docker engine is docker://CONTEXT, with the name of a context as 'docker context ls' shows it, or docker:// for the current one",
		"docker://--host=x":            "the address of a Docker engine is docker://CONTEXT, with the name of a context as 'docker context ls' shows it, or docker:// for the current one",
		"unix:///var/run/docker.sock":  "that is the socket of Docker: use docker:// for the engine of the docker program, or docker://CONTEXT",
		"kube://":                      "that is not an address",
		"kube://a/b":                   "the address of builders in a cluster is kube://NAMESPACE, or kube://NAMESPACE?context=CONTEXT for another cluster than that of the run",
		"kube://-":                     "the address of builders in a cluster is kube://NAMESPACE, or kube://NAMESPACE?context=CONTEXT for another cluster than that of the run",
		"kube://a?context=b&context=c": "context= needs one value: the name of a context of the kubeconfig",
		"kube://a?namespace=b":         "\"namespace\" is not known: the only parameter is context=CONTEXT",
		"http://x": "http:// is not known: an address is such as unix:///run/buildkit/buildkitd.sock, tcp://host:1234, ssh://user@host, docker-container://name, " +
			"kube-pod://name, kube://namespace, docker://context",
	} {
		if err := build.CheckAddress(addr); err == nil || err.Error() != want {
			t.Errorf("CheckAddress(%q) = %v, want %s", addr, err, want)
		}
	}
}
