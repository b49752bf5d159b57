package deploy

import (
	"sync"
	"time"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// seen is what was seen of namespaces a moment ago, which spares some questions.
type seen struct {
	mu         sync.Mutex
	clock      int // counts looks at namespaces, and begins and ends of acts on releases
	namespaces map[string]*sight
}

// A sight is what was seen of one namespace.
type sight struct {
	made    time.Time                     // when it was made; zero: not known, or something was written since
	listed  map[string][]observe.Revision // by release, those that are not superseded, the oldest first; nil: not known
	version string                        // of the last list of all releases
	looked  int                           // the clock when that list was asked for
	acted   map[string]int                // by release, the clock when this process began or ended to act on it last
}

// youth is how long nobody else is expected to have put anything into a namespace.
const youth = time.Minute

// of returns what was seen of a namespace. s.mu must be held.
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

// namespace notes when a namespace was made.
func (s *seen) namespace(name string, made time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(name).made = made
}

// look returns the moment at which a list of releases is asked for.
func (s *seen) look() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	return s.clock
}

// releases notes the releases of a namespace, as a list of that version has them
// that was asked for at that moment.
func (s *seen) releases(namespace, version string, looked int, all []observe.Revision) {
	of := make(map[string][]observe.Revision)
	for _, r := range all {
		of[r.Release] = append(of[r.Release], r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of(namespace)
	n.listed, n.version, n.looked = of, version, looked
}

// acts notes that this process begins or ends to act on a release.
func (s *seen) acts(namespace, release string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	s.of(namespace).acted[release] = s.clock
}

// asOf returns the version of a list that has the whole history of a release as this
// process left it, or "". An act that went on while the list was asked for has left
// something that the list may not have.
func (s *seen) asOf(namespace, release string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of(namespace)
	if n.acted[release] > n.looked {
		return ""
	}
	return n.version
}

// forget has it that what there is in a namespace changes now.
func (s *seen) forget(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of(namespace)
	n.made, n.listed = time.Time{}, nil
}

// fresh reports whether a namespace was made just now, so that there is nothing in it.
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
