package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/pipelinefile/pipe/internal/background"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
)

// builder returns the builder that opts name, or else the embedded one, which
// is started when something is to be built: a run that builds nothing needs none.
func (r *Runtime) builder(opts Options, from runtime.Secrets) (*build.Builder, error) {
	tls, err := builderTLS(opts.BuildKitTLS)
	if err != nil {
		return nil, err
	}
	embedded := &attachment{part: "builder", home: opts.Home, next: "install what is missing, or use another builder", option: "BuildKit", ensure: daemon.Background{
		Home: opts.Home, Executable: opts.Executable, Progress: func(what string) { opts.progress("embedded builder: " + what) },
	}.Ensure, progress: opts.progress, notice: opts.notice}
	r.close = append(r.close, embedded.Close)
	b := build.New(build.Options{
		Dir:       opts.Dir,
		Addresses: opts.BuildKit,
		Start:     embedded.addr,
		TLS:       tls,
		CacheDir:  filepath.Join(opts.Home, "cache", "build"),
		Secrets:   from,
		Password:  r.password,
		Notice:    opts.notice,
	})
	r.close = append(r.close, b.Close)
	return b, nil
}

// builderTLS finds the files of a folder that is laid out as buildctl's
// --tlsdir: ca.pem, cert.pem and key.pem.
func builderTLS(dir string) (build.TLS, error) {
	if dir == "" {
		return build.TLS{}, nil
	}
	files := build.TLS{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for _, file := range []string{files.CA, files.Cert, files.Key} {
		if _, err := os.Stat(file); err != nil {
			return build.TLS{}, &UnavailableError{"builder", fmt.Errorf("the certificates: %w", err), "name a folder with ca.pem, cert.pem and key.pem", []string{"BuildKitTLS"}}
		}
	}
	return files, nil
}

// An attachment is an embedded part that is attached to when it is needed, and
// stays so until Close.
type attachment struct {
	part, next string
	option     string // what chooses another part
	home       string // where the part keeps its state
	ensure     func(context.Context) (*background.Attached, error)
	progress   func(string) // told nothing when the wait is over
	notice     func(string) // told what was damaged, and made good

	mu   sync.Mutex // guards what follows; held while the part starts, so that it is started once
	held []*background.Attached
}

// addr attaches and returns the address of the part.
func (a *attachment) addr(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.progress("")
	attached, err := a.ensure(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		if e := writable(a.home); e != nil { // then the part cannot even write down what ails it
			return "", &UnavailableError{a.part, fmt.Errorf("%w; %w", e, err), "make room on the disk of " + a.home + ", or use another folder", []string{"Home"}}
		}
		if errors.Is(err, fs.ErrPermission) {
			return "", &UnavailableError{a.part, err, "see that you own " + a.home + " and can write all in it: chmod -R u+rwX " + a.home + "; or use another folder", []string{"Home"}}
		}
		return "", &UnavailableError{a.part, err, a.next, []string{a.option}}
	}
	a.held = append(a.held, attached)
	for _, note := range attached.Notes {
		a.notice("embedded " + a.part + ": " + note)
	}
	return attached.Addr, nil
}

// Close gives the part up.
func (a *attachment) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, attached := range a.held {
		attached.Release()
	}
	a.held = nil
	return nil
}

// writable reports why nothing can be written below dir.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".room-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 64<<10))
	return errors.Join(err, f.Close())
}
