package runtimetest

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/pipelinefile/pipe/runtime"
)

// A Syncer is a [runtime.Syncer] whose containers are in memory: one for each service that
// was set.
type Syncer struct {
	// Fails, if set, returns the error of copying into the containers of a service.
	Fails func(service string) error
	// Report, if set, is called for each container.
	Report func(service string, s runtime.Synced)

	mu       sync.Mutex
	images   map[string]string
	changes  map[string]map[string]bool // by service, the destinations that were changed since its image
	updates  []string
	behind   map[string]bool
	isClosed bool
}

var _ runtime.Syncer = (*Syncer)(nil)

// NewSyncer returns a syncer without services.
func NewSyncer() *Syncer {
	return &Syncer{images: make(map[string]string), changes: make(map[string]map[string]bool), behind: make(map[string]bool)}
}

// Set implements [runtime.Syncer].
func (s *Syncer) Set(service, image string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.images[service] != image {
		s.images[service], s.changes[service], s.behind[service] = image, make(map[string]bool), false
	}
}

// Update implements [runtime.Syncer].
func (s *Syncer) Update(_ context.Context, service string, u runtime.SyncUpdate) error {
	s.mu.Lock()
	if s.images[service] == "" {
		s.mu.Unlock()
		return fmt.Errorf("sync %s: its image is not known", service)
	}
	var what []string
	for _, c := range u.Changes {
		s.changes[service][c.To] = true
		what = append(what, path.Base(c.Path)+"->"+c.To)
	}
	for _, args := range u.Run {
		what = append(what, "run "+strings.Join(args, " "))
	}
	if u.Restart {
		what = append(what, "restart")
	}
	s.updates = append(s.updates, service+": "+strings.Join(what, ", "))
	s.behind[service] = true
	fails := s.Fails
	s.mu.Unlock()
	if fails != nil {
		if err := fails(service); err != nil {
			s.report(service, runtime.Synced{Pod: service + "-1", Container: service, Error: err.Error()})
			return err
		}
	}
	s.Catch(service)
	return nil
}

// Catch brings the containers of a service up to date.
func (s *Syncer) Catch(service string) {
	s.mu.Lock()
	s.behind[service] = false
	n := len(s.changes[service])
	s.mu.Unlock()
	s.report(service, runtime.Synced{Pod: service + "-1", Container: service, Files: n})
}

// Lag makes the containers of a service lack changes until Catch.
func (s *Syncer) Lag(service string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind[service] = true
}

func (s *Syncer) report(service string, e runtime.Synced) {
	if s.Report != nil {
		s.Report(service, e)
	}
}

// Synced implements [runtime.Syncer].
func (s *Syncer) Synced(service string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.behind[service] || len(s.changes[service]) == 0
}

// Close implements [runtime.Syncer].
func (s *Syncer) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isClosed = true
}

// Closed reports whether Close was called.
func (s *Syncer) Closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isClosed
}

// Updates returns the updates so far, each as "service: a.js->/app/a.js, run npm install, restart".
func (s *Syncer) Updates() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.updates)
}

// Has returns the destinations in the containers of a service that were changed since their
// image was built.
func (s *Syncer) Has(service string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.changes[service]))
}
