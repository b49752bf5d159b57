package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
)

// stopGrace is how long running builds may take to end after the daemon is asked to stop.
// Then they are cancelled.
const stopGrace = 3 * time.Second

// serveAt runs BuildKit until ctx is done, which is not an error. It must run as root, or as
// root of a user namespace: see [Main]. If another process uses the root, the error includes
// its process ID. The remains of a killed predecessor are removed first.
func serveAt(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("BuildKit must run as root, or as root of a user namespace")
	}
	if err := usable(); err != nil {
		return err
	}
	if o.Log != nil {
		logrus.SetOutput(o.Log)
	}
	lock, err := lockRoot(o.Root, cmp.Or(o.pid, os.Getpid()))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := sweep(ctx, o.Root); err != nil {
		return fmt.Errorf("clean up after the last BuildKit in %s: %w", o.Root, err)
	}
	// Runs last, so that nothing of a cancelled build is left.
	defer func() {
		settle(o.Root)
		err = errors.Join(err, sweep(context.WithoutCancel(ctx), o.Root))
	}()
	listener, done, err := listen(&o)
	if err != nil {
		return err
	}
	defer done()
	busy := &busyHosts{}
	note := o.Note
	if note == nil {
		note = func(text string) { logrus.Warn(text) }
	}
	l := newLimits(o.Root)
	controller, err := mended(o.Root, note, func() (*control.Controller, error) { return newController(ctx, o, l, busy) })
	if err != nil {
		listener.Close()
		return err
	}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(busy.tell),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
		grpc.WaitForHandlers(true),
	)
	if text := l.missing(); text != "" {
		note(text)
	}
	controller.Register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(&counted{Listener: listener, use: o.Use}) }()

	if o.Ready != nil {
		err = o.Ready("unix://" + o.Socket)
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-served:
			err = fmt.Errorf("serve %s: %w", o.Socket, err)
		}
	}
	stop(server)
	closed := controller.Close()
	if closed == nil {
		closed = os.Remove(began(o.Root))
	}
	return errors.Join(err, closed)
}

// stop ends the server, and cancels running requests after a timeout.
func stop(server *grpc.Server) {
	late := time.AfterFunc(stopGrace, server.Stop)
	server.GracefulStop()
	late.Stop()
}

func lockFile(root string) string { return filepath.Join(root, "pipe.lock") }

// lockRoot locks the root for this process. Without the lock, a second process would silently
// wait forever for the databases of the first one.
func lockRoot(root string, pid int) (*os.File, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	path := lockFile(root)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(file); err != nil {
		holder, _ := os.ReadFile(path)
		file.Close()
		return nil, fmt.Errorf("%s is in use by another BuildKit (process %s): %w", root, strings.TrimSpace(string(holder)), err)
	}
	if err := errors.Join(file.Truncate(0), writeLine(file, pid)); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func writeLine(file *os.File, pid int) error {
	_, err := fmt.Fprintf(file, "%d\n", pid)
	return err
}

// maxSocket is the maximum length of the path of a unix socket on all systems.
const maxSocket = 103

// listen listens on the socket of o, and chooses one if none is given. done removes what it
// has created.
func listen(o *options) (listener net.Listener, done func(), err error) {
	done = func() {}
	if o.Socket == "" {
		o.Socket = filepath.Join(o.Root, "buildkit.sock")
		if len(o.Socket) > maxSocket {
			dir, err := shortDir("buildkit", o.Root)
			if err != nil {
				return nil, nil, err
			}
			o.Socket = filepath.Join(dir, "buildkit.sock")
			done = func() { os.RemoveAll(dir) }
		}
	}
	// The lock of the root guarantees that no other process listens on it.
	if err := os.Remove(o.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	listener, err = net.Listen("unix", o.Socket)
	if err == nil {
		err = os.Chmod(o.Socket, 0o600)
	}
	return listener, done, err
}

// shortDir creates an empty directory with a short path for the process that has locked root.
// The path is always the same, so that the directory of a killed process is removed.
func shortDir(kind, root string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(root)) // never fails
	dir := fmt.Sprintf("/tmp/pipe-%s-%d-%x", kind, os.Getuid(), hash.Sum64())
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.Mkdir(dir, 0o700) // fails if another user was faster
}

// counted reports each connection that it accepts.
type counted struct {
	net.Listener
	use func() (end func())
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil || c.use == nil {
		return conn, err
	}
	return &countedConn{conn, c.use()}, nil
}

type countedConn struct {
	net.Conn
	end func()
}

func (c *countedConn) Close() error {
	c.end()
	return c.Conn.Close()
}
