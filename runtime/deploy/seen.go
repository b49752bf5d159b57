package deploy

import (
	"sync"
	"time"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// seen caches recent observations of namespaces, which saves requests.
type seen struct {
	mu         sync.Mutex
	clock      int // counts lists of namespaces, and starts and ends of operations on releases
	namespaces map[string]*sight
}

// A sight has the observations of one namespace.
type sight struct {
	made    time.Time                     // when it was created; zero: not known, or written to since
	listed  map[string][]observe.Revision // by release, oldest first, not superseded; nil: not known
	version string                        // resourceVersion of the last list of all releases
	asOf    int                           // the clock when that list was requested
	acted   map[string]int                // by release: clock at the last start or end of an operation
}

// youth is the time after the creation of a namespace in which it is assumed to have no
// objects of others.
const youth = time.Minute

// of returns the observations of a namespace. s.mu must be held.
func (s *seen) of(namespace string) *sight {
	n := s.namespaces[namespace]
	if n == nil {
		if s.namespaces == nil {
			s.namespaces = make(map[string]*sight)
		}
		n = &sight{acted: make(map[string]int)}
		s.namespaces[namespace] = n
	}
	return n
}

// namespace records when a namespace was created.
func (s *seen) namespace(name string, made time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(name).made = made
}

// tick advances the clock for a list of releases that is about to be requested.
func (s *seen) tick() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	return s.clock
}

// releases records the releases of a namespace from a list with that resourceVersion,
// which was requested when the clock was asOf.
func (s *seen) releases(namespace, version string, asOf int, all []observe.Revision) {
	of := make(map[string][]observe.Revision)
	for _, r := range all {
		of[r.Release] = append(of[r.Release], r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of(namespace)
	n.listed, n.version, n.asOf = of, version, asOf
}

// acts records that this process starts or ends an operation on a release.
func (s *seen) acts(namespace, release string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	s.of(namespace).acted[release] = s.clock
}

// asOf returns the version of a list that contains the whole history of a release as this
// process left it, or "". A list that was requested during an operation may not contain
// everything that the operation wrote.
func (s *seen) asOf(namespace, release string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of(namespace)
	if n.acted[release] > n.asOf {
		return ""
	}
	return n.version
}

// forget discards the observations of a namespace that is about to change.
func (s *seen) forget(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of(namespace)
	n.made, n.listed = time.Time{}, nil
}

// fresh reports whether a namespace was created just now, so that it can be assumed to be
// empty.
func (s *seen) fresh(namespace string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of(namespace)
	return time.Since(n.made) < youth && len(n.listed) == 0
}

// history returns the revisions of a release, if they are known.
func (s *seen) history(namespace, release string) ([]observe.Revision, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of(namespace)
	return n.listed[release], n.listed != nil
}
