package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/sirupsen/logrus"

	"github.com/pipelinefile/pipe/internal/background"
)

// A Server is a registry that runs in this process.
type Server struct {
	Addr    string // host and port
	root    string
	garbage *collector
	http    *http.Server
	done    chan struct{} // closed when it stops listening
	err     error         // the reason; set before done is closed

	mu      sync.Mutex
	silent  map[net.Conn]bool // guarded by mu; connections without a request so far
	closing bool              // guarded by mu
}

// Start runs a registry in this process until Close. Its library logs to the standard logger
// of logrus.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := start(ctx, o, nil)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, o Options, activity *background.Activity) (*Server, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("directory %q is not absolute", o.Dir)
	}
	root := filepath.Join(o.Dir, "images")
	app, err := newApp(context.WithoutCancel(ctx), root)
	if err != nil {
		return nil, err
	}
	note := func(text string) { logrus.Warn(text) }
	if activity != nil {
		note = activity.Note
	}
	l, err := listen(ctx, o, note)
	if err != nil {
		return nil, err
	}
	garbage := &collector{keeper: keeper{root}, next: app, grace: collectGrace}
	inner := diskFull(root, &mender{keeper{root}, garbage})
	if activity != nil {
		if inner, err = newWriter(o.Dir, inner); err != nil {
			l.Close()
			return nil, err
		}
	}
	handler := loopbackOnly(http.NewCrossOriginProtection().Handler(inner))
	if activity != nil {
		handler = counted(activity, handler)
	}
	s := &Server{
		Addr:    l.Addr().String(),
		root:    root,
		garbage: garbage,
		done:    make(chan struct{}),
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 20 * time.Second, // bodies have no timeout
			ErrorLog:          log.New(io.Discard, "", 0),
		},
		silent: map[net.Conn]bool{},
	}
	s.http.ConnState = s.connection
	go func() {
		s.err = s.http.Serve(l)
		close(s.done)
	}()
	return s, nil
}

// connection tracks the state of a connection. Clients open some that they do not use, and
// Shutdown would wait five seconds for each.
func (s *Server) connection(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(s.silent, c)
	case s.closing:
		c.Close()
	default:
		s.silent[c] = true
	}
}

// Close ends the registry. Running requests have 15 seconds to complete.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closing = true
	for c := range s.silent {
		c.Close()
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	return err
}

// purge removes uploads that have been inactive for a day.
func (s *Server) purge(ctx context.Context) {
	driver := filesystem.New(filesystem.DriverParameters{RootDirectory: s.root, MaxThreads: 25})
	// Errors are logged, and the next start tries again.
	_, _ = storage.PurgeUploads(ctx, driver, time.Now().Add(-24*time.Hour), true)
}

// newApp returns the handler of the registry's library, which keeps images below root.
func newApp(ctx context.Context, root string) (app http.Handler, err error) {
	secret := make([]byte, 32) // signs the state of uploads, which do not outlive this process
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	c := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem": {"rootdirectory": root},
			"delete":     {"enabled": true},
			// Its own purging sleeps for hours in a goroutine that cannot be stopped.
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
		},
	}
	c.HTTP.Secret = string(secret)
	c.HTTP.RelativeURLs = true
	c.Catalog.MaxEntries = 1000 // a page of clients; a longer one would be refused
	// Images may have layers that are stored elsewhere, as those of Windows do.
	c.Validation.Manifests.URLs.Allow = []string{"^https?://"}
	defer func() {
		if p := recover(); p != nil { // the library panics instead of returning an error
			err = fmt.Errorf("start in %s: %v", root, p)
		}
	}()
	return handlers.NewApp(ctx, c), nil
}

// counted marks the process as used during requests.
func counted(activity *background.Activity, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer activity.Begin()()
		next.ServeHTTP(w, r)
	})
}

// loopbackOnly rejects requests for a host that is not loopback, because a web page can make
// its own host name resolve to loopback.
func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			refuse(w, http.StatusForbidden, "DENIED", fmt.Sprintf("this registry is not %s: it is reached as 127.0.0.1 or localhost", host))
			return
		}
		next.ServeHTTP(w, r)
	})
}
