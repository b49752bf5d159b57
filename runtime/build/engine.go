package build

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/docker/cli/cli/connhelper/commandconn"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/worker/label"

	"github.com/pipelinefile/pipe/runtime"
)

// engineScheme begins the address of the BuildKit in a Docker engine, docker://CONTEXT. Without
// a context it is the engine that the docker program uses.
const engineScheme = "docker://"

// An engine is a Docker engine. It has no port of its own for BuildKit: a connection to its
// API becomes one to BuildKit, or to a session of BuildKit, by an upgrade. The docker program
// connects, since it knows contexts, DOCKER_HOST, certificates and SSH.
type engine struct {
	context string // of the docker program; empty: its current one
}

// engineOf returns the engine at an address, or nil.
func engineOf(addr string) *engine {
	name, ok := strings.CutPrefix(addr, engineScheme)
	if !ok {
		return nil
	}
	return &engine{name}
}

// flag returns the flag of the docker program that names the context, and a space; "" if there is none.
func (e *engine) flag() string {
	if e.context == "" {
		return ""
	}
	return "--context=" + e.context + " "
}

// options are those of a client of its BuildKit.
func (e *engine) options() []client.ClientOpt {
	return []client.ClientOpt{
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return e.upgrade(ctx, "/grpc", "h2c", nil) }),
		client.WithSessionDialer(e.session),
	}
}

// session is a [session.Dialer].
func (e *engine) session(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
	return e.upgrade(ctx, "/session", proto, meta)
}

var _ session.Dialer = (*engine)(nil).session

// upgrade connects to the API and upgrades the connection.
func (e *engine) upgrade(ctx context.Context, path, proto string, header http.Header) (net.Conn, error) {
	args := []string{"system", "dial-stdio"}
	if e.context != "" {
		args = append([]string{"--context=" + e.context}, args...)
	}
	conn, err := commandconn.New(ctx, "docker", args...)
	if err != nil {
		return nil, err
	}
	// The program does not end with ctx, and its connection has no deadlines.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	up, err := upgraded(ctx, conn, path, proto, header)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return up, nil
}

func upgraded(ctx context.Context, conn net.Conn, path, proto string, header http.Header) (net.Conn, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://docker"+path, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", proto)
	_ = req.Write(conn) // if the program has ended, the read returns why
	buffered := bufio.NewReader(conn)
	resp, err := http.ReadResponse(buffered, req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("it answers %s to POST %s: it is not a Docker engine with BuildKit", resp.Status, path)
	}
	return &bufferedConn{conn, buffered}, nil
}

// A bufferedConn is a connection whose first bytes may be in a buffer.
type bufferedConn struct {
	net.Conn
	from *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.from.Read(p) }

// errCannotPush is the cause of an *UnreachableError for a Docker engine whose BuildKit keeps
// images in the engine only: with its classic image store, it has no exporter that pushes.
var errCannotPush = errors.New("the Docker engine cannot push what it builds, because it has the classic image store")

// check returns an error if the engine cannot push images.
func (e *engine) check(ctx context.Context, c *connection) error {
	workers, err := c.ListWorkers(ctx)
	if err != nil {
		return err
	}
	for _, w := range workers {
		// docker buildx decides it in the same way.
		if w.Labels[label.Snapshotter] != "" {
			return nil
		}
	}
	return runtime.Advise(errCannotPush, runtime.Advice{
		Do: `use its containerd image store ("features": {"containerd-snapshotter": true} in /etc/docker/daemon.json), ` +
			"or run BuildKit in it with 'docker run -d --name buildkitd --privileged moby/buildkit' and use docker-container://buildkitd",
		Options: []string{"BuildKit"},
	})
}
