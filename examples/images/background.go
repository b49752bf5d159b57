package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A registry is what is known of the background process that serves a store. The address is kept when the process
// ends: images are named by it, and a new one would make everything built from them look new.
type registry struct {
	Address string `json:"address"`
	PID     int    `json:"pid,omitempty"`
}

func (s Store) registryFile() string { return filepath.Join(string(s), "registry.json") }
func (s Store) log() string          { return filepath.Join(string(s), "registry.log") }

// alive is locked by the serving process as long as it lives, however it ends.
func (s Store) alive() string { return filepath.Join(string(s), "registry.alive") }

// up starts the registry, unless it runs, and returns its address. It has ended only with down.
func up(ctx context.Context, s Store) (string, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	known, err := s.registry()
	if err != nil {
		return "", err
	}
	running, err := locked(s.alive())
	if err != nil {
		return "", err
	}
	if running && answers(ctx, known.Address) {
		return known.Address, nil
	}
	if running {
		return "", fmt.Errorf("the registry of base images, process %d, does not answer at %s: see %s, end it with `images down`", known.PID, known.Address, s.log())
	}

	address := known.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil && known.Address != "" {
		// Somebody took the port meanwhile.
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", err
	}
	defer listener.Close()
	known.Address = listener.Addr().String()
	// The process inherits the open port: it is served from the first moment, and cannot be taken in between.
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return "", err
	}
	defer file.Close()
	alive, err := os.OpenFile(s.alive(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	defer alive.Close()
	// The lock belongs to the open file, which the process inherits too.
	if err := syscall.Flock(int(alive.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return "", fmt.Errorf("%s: %w", s.alive(), err)
	}
	log, err := os.OpenFile(s.log(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(self, "serve", "-dir", string(s))
	cmd.ExtraFiles = []*os.File{file, alive}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // interrupting the demo does not end it
	if err := cmd.Start(); err != nil {
		return "", err
	}
	known.PID = cmd.Process.Pid
	data, err := json.Marshal(known)
	if err == nil {
		err = s.write(s.registryFile(), data)
	}
	if err == nil && !answers(ctx, known.Address) {
		err = fmt.Errorf("the registry of base images does not answer at %s: see %s", known.Address, s.log())
	}
	if err != nil {
		_ = cmd.Process.Kill() // the error says what went wrong
		_ = cmd.Wait()
		return "", err
	}
	return known.Address, cmd.Process.Release()
}

// down ends the registry and waits until it has.
func down(ctx context.Context, s Store, out io.Writer) error {
	if _, err := os.Stat(string(s)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	running, err := locked(s.alive())
	if err != nil || !running {
		return err
	}
	known, err := s.registry()
	if err != nil {
		return err
	}
	if err := syscall.Kill(known.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end the registry of base images, process %d: %w", known.PID, err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if running, err = locked(s.alive()); err != nil {
			return err
		}
		if !running {
			fmt.Fprintf(out, "registry of base images at %s ended\n", known.Address)
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("the registry of base images, process %d, has not ended", known.PID)
		}
	}
}

// serveInherited serves on the port that up opened, until it is told to end.
func serveInherited(ctx context.Context, s Store) error {
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return fmt.Errorf("serve is started by up: %w", err)
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve returns
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s Store) registry() (registry, error) {
	var r registry
	data, err := os.ReadFile(s.registryFile())
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	return r, err
}

// lock keeps others from making images in the same folder or starting its registry.
func (s Store) lock(ctx context.Context) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(string(s), "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// locked reports whether a process holds the file.
func locked(name string) (bool, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer file.Close()
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// answers reports whether a registry does at the address.
func answers(ctx context.Context, address string) bool {
	return asks(ctx, "http://"+address+"/v2/", 5*time.Second, http.StatusOK)
}

// publicImages reports whether docker.io can be reached. Whoever has no network waits a moment for the answer.
func publicImages(ctx context.Context) bool {
	return asks(ctx, "https://registry-1.docker.io/v2/", 3*time.Second, http.StatusUnauthorized)
}

func asks(ctx context.Context, url string, timeout time.Duration, want int) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == want
}
