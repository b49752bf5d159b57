package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/userns"
	"github.com/sirupsen/logrus"

	"github.com/pipelinefile/pipe/internal/background"
	"github.com/pipelinefile/pipe/internal/mirrors"
)

// serve runs BuildKit in this process, or, for an ordinary user, in a child process.
func serve(ctx context.Context, root string, args []string, ready func(addr string) error, activity *background.Activity) error {
	if os.Geteuid() != 0 {
		return serveRootless(ctx, root, args, ready, activity.Note)
	}
	if err := prepare(root); err != nil {
		return err
	}
	return serveAt(ctx, options{Root: root, Config: ownConfig(root), Registries: ownRegistries(root), Ready: ready, Note: activity.Note, Use: activity.Begin})
}

// ownConfig returns the configuration for this BuildKit alone, buildkitd.toml next to its
// root, or "" if that does not exist.
func ownConfig(root string) string {
	file := filepath.Join(filepath.Dir(root), "buildkitd.toml")
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// ownRegistries returns the registries.conf in the home directory that root is in.
func ownRegistries(root string) string { return mirrors.File(filepath.Dir(filepath.Dir(root))) }

// prepare sets up the environment and the logger of the process for BuildKit.
func prepare(root string) error {
	if err := os.MkdirAll(temp(root), 0o700); err != nil {
		return err
	}
	logrus.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, DisableColors: true})
	path := os.Getenv("PATH") //nolint:forbidigo // a process of its own, which starts programs by their names
	return errors.Join(
		os.Setenv("PATH", strings.Join(append([]string{path}, sbin...), ":")),
		os.Setenv("TMPDIR", temp(root)),
	)
}

// socketFile is the file to which a BuildKit inside of a user namespace writes its address.
func socketFile(root string) string { return filepath.Join(root, "address") }

// serveRootless runs this program again as root of a user namespace, with RootlessKit. It
// shares the host's network, so that registries on loopback can be reached. It has its own
// PID namespace: when the first process there dies, the kernel kills all others and removes
// the mounts.
func serveRootless(ctx context.Context, root string, args []string, ready func(addr string) error, note func(string)) error {
	if err := usable(); err != nil {
		return err
	}
	if err := prepare(root); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Remove(socketFile(root)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	state, err := shortDir("rootlesskit", root) // it contains a socket
	if err != nil {
		return err
	}
	defer os.RemoveAll(state)
	kit, _ := find("rootlesskit")
	argv := append([]string{"--net=host", "--pidns", "--copy-up=/etc", "--copy-up=/run", "--state-dir=" + state,
		exe, "daemon", "buildkit"}, args...)
	cmd := exec.Command(kit, append(argv, "--inside="+strconv.Itoa(os.Getpid()))...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr //nolint:forbidigo // the log, which the process was given
	ended, err := startTied(cmd)
	if err != nil {
		return err
	}
	addr, notes, err := waitAddress(ctx, root, ended)
	if err == nil {
		for _, text := range notes {
			note(text)
		}
		err = ready(addr)
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case err := <-ended:
			return fmt.Errorf("BuildKit in its user namespace ended: %w", orDone(err))
		}
	}
	return errors.Join(err, stopRootless(cmd, ended))
}

// startTied starts cmd so that it does not outlive this process, even if this process is
// killed. The channel receives the result of Wait.
func startTied(cmd *exec.Cmd) (ended chan error, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	ended = make(chan error, 1)
	go func() {
		// The kernel sends the signal when the thread that started the process ends, so keep
		// this thread until the process has ended.
		goruntime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return ended, <-started
}

func orDone(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// stopRootless ends the namespace, and kills it after a timeout.
func stopRootless(cmd *exec.Cmd, ended <-chan error) error {
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	kill := time.AfterFunc(stopGrace+4*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	var exit *exec.ExitError
	if err := <-ended; err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// waitAddress waits until BuildKit has written its address and its notes, and answers at the
// address.
func waitAddress(ctx context.Context, root string, ended chan error) (addr string, notes []string, err error) {
	for {
		data, err := os.ReadFile(socketFile(root))
		if err == nil && len(data) > 0 {
			lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
			conn, err := net.Dial("unix", strings.TrimPrefix(lines[0], "unix://"))
			if err == nil {
				conn.Close()
				return lines[0], lines[1:], nil
			}
		}
		select {
		case <-ctx.Done():
			return "", nil, context.Cause(ctx)
		case err := <-ended:
			ended <- err // for the caller that waits for the end
			return "", nil, fmt.Errorf("rootlesskit, which runs BuildKit for an ordinary user, ended: %w (see what it printed above; "+
				"user namespaces must be allowed: sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)", orDone(err))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// serveInside runs BuildKit as root of a user namespace, which serveRootless created in the
// process outside.
func serveInside(ctx context.Context, root string, outside int) error {
	if !userns.RunningInUserNS() {
		return errors.New("--inside is for pipe itself")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// runc keeps the state of containers there, because no other directory is writable.
	if err := errors.Join(prepare(root), os.Setenv("XDG_RUNTIME_DIR", temp(root))); err != nil {
		return err
	}
	var notes []string
	note := func(text string) { notes = append(notes, strings.Join(strings.Fields(text), " ")) }
	return serveAt(ctx, options{Root: root, Config: ownConfig(root), Registries: ownRegistries(root), pid: outside, Note: note, Ready: func(addr string) error {
		// Rename, so that the waiting process reads the complete file.
		next := socketFile(root) + ".new"
		text := strings.Join(append([]string{addr}, notes...), "\n") + "\n"
		return errors.Join(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, socketFile(root)))
	}})
}
