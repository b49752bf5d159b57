package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

// try runs a command while a PostgreSQL and a Redis of the images run on loopback, and tells it where: a test of a program
// that needs them then finds real ones on a machine that has neither. Nothing is left of them, nor of their data.
func try(ctx context.Context, s Store, command []string, stdout, stderr io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("try: containers are run as root")
	}
	made, err := Make(ctx, s, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "images-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The servers run as users of their own, who have to come by here.
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	env := os.Environ()
	for _, server := range []server{tryPostgres, tryRedis} {
		i := slices.IndexFunc(made, func(m string) bool { return strings.HasPrefix(m, server.image+":") })
		if i < 0 {
			return fmt.Errorf("try: there is no image of %s among %v", server.image, made)
		}
		port, err := freePort()
		if err != nil {
			return err
		}
		stop, err := server.start(ctx, s, made[i], filepath.Join(dir, server.image), port)
		if err != nil {
			return fmt.Errorf("try: %s: %w", server.image, err)
		}
		defer stop()
		env = append(env, server.variable+"="+fmt.Sprintf(server.address, port))
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, stdout, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	return cmd.Run()
}

// A server is how an image is run for a command, and what the command is told.
type server struct {
	image    string
	env      func(port string) []string
	args     func(port string) []string
	ready    func(port string) []string // a program of the image that succeeds when the server answers
	variable string
	address  string // with the port in place of %s
}

// The password guards a server that is reached from this machine alone, and whose data is gone with the command.
var tryPostgres = server{
	image: "postgres",
	env: func(port string) []string {
		return []string{"POSTGRES_PASSWORD=try", "PGPORT=" + port, "POSTGRES_INITDB_ARGS=--no-sync"}
	},
	args: func(string) []string {
		return []string{"postgres", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"}
	},
	ready:    func(port string) []string { return []string{"pg_isready", "-h", "127.0.0.1", "-p", port} },
	variable: "PIPE_TEST_POSTGRES",
	address:  "postgres://postgres:try@127.0.0.1:%s/postgres",
}

var tryRedis = server{
	image: "redis",
	env:   func(string) []string { return nil },
	args: func(port string) []string {
		return []string{"redis-server", "--bind", "127.0.0.1", "--port", port, "--save", ""}
	},
	ready:    func(port string) []string { return []string{"redis-cli", "-h", "127.0.0.1", "-p", port, "-e", "ping"} },
	variable: "PIPE_TEST_REDIS",
	address:  "127.0.0.1:%s",
}

// start unpacks the image into root and returns when the server answers.
func (v server) start(ctx context.Context, s Store, image, root, port string) (stop func(), err error) {
	config, err := unpack(s, image, root)
	if err != nil {
		return nil, err
	}
	env := append(slices.Clone(config.Config.Env), v.env(port)...)
	cmd := container(root, env, append(slices.Clone(config.Config.Entrypoint), v.args(port)...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // what it said tells more
	}()
	stop = func() {
		_ = cmd.Process.Kill() // its data is of no use any more
		<-ended
	}
	for {
		if container(root, env, v.ready(port)...).Run() == nil {
			return stop, nil
		}
		select {
		case <-time.After(50 * time.Millisecond): // another process gets ready; it tells nobody
		case <-ended:
			return nil, fmt.Errorf("it ended: %s", tail(out.Bytes()))
		case <-ctx.Done():
			stop()
			return nil, context.Cause(ctx)
		}
	}
}

// unpack makes the root folder of a container of an image, and returns the image's configuration.
func unpack(s Store, image, root string) (v1.ConfigFile, error) {
	index, err := s.Images()
	if err != nil {
		return v1.ConfigFile{}, err
	}
	i := slices.IndexFunc(index.Manifests, func(d v1.Descriptor) bool { return d.Annotations[annotationName] == image })
	if i < 0 {
		return v1.ConfigFile{}, fmt.Errorf("there is no image %s", image)
	}
	manifest, err := s.Manifest(index.Manifests[i].Digest)
	if err != nil {
		return v1.ConfigFile{}, err
	}
	if err := os.Mkdir(root, 0o755); err != nil {
		return v1.ConfigFile{}, err
	}
	for _, l := range manifest.Layers {
		if err := unpackLayer(filepath.Join(s.blobs(), l.Digest.Hex), root); err != nil {
			return v1.ConfigFile{}, fmt.Errorf("unpack %s: %w", image, err)
		}
	}
	return s.Config(manifest)
}

func unpackLayer(file, root string) error {
	packed, err := os.Open(file)
	if err != nil {
		return err
	}
	defer packed.Close()
	content, err := zstd.NewReader(packed)
	if err != nil {
		return err
	}
	defer content.Close()
	cmd := exec.Command("tar", "--numeric-owner", "-xpC", root)
	cmd.Stdin = content
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, tail(out))
	}
	return nil
}

// container is a program of an unpacked image with processes and mounts of its own, as a container has, on the network of
// the machine. The process has number 1 in there.
func container(root string, env []string, args ...string) *exec.Cmd {
	script := `mount --make-rprivate / && mount -t proc proc "$1/proc" && mount -t tmpfs -o mode=755 tmpfs "$1/dev" &&
		for d in null zero random urandom; do touch "$1/dev/$d" && mount --bind "/dev/$d" "$1/dev/$d" || exit; done &&
		mkdir "$1/dev/shm" && mount -t tmpfs tmpfs "$1/dev/shm" && root=$1 && shift && exec chroot "$root" "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh", root}, args...)...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
