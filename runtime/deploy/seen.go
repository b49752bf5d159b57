package deploy

import (
	"sync"
	"time"
)

// seen is what was seen of namespaces a moment ago, which spares a check some
// questions. Whoever writes asks again.
type seen struct {
	mu     sync.Mutex
	made   map[string]time.Time             // when a namespace was made
	listed map[string]map[string][]revision // the revisions of its releases that are not superseded, the oldest first
	looks  map[string]*look                 // the last look at a namespace
}

// A look is the version of a list of all releases of a namespace.
type look struct {
	version string
	acted   map[string]bool // the releases that were acted on since
}

// youth is how long nobody else is expected to have put anything into a namespace.
const youth = time.Minute

// namespace notes when a namespace was made.
func (s *seen) namespace(name string, made time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made == nil {
		s.made = make(map[string]time.Time)
	}
	s.made[name] = made
}

// releases notes the releases of a namespace, as a list of that version has them.
func (s *seen) releases(namespace, version string, all []revision) {
	of := make(map[string][]revision)
	for _, r := range all {
		of[r.release] = append(of[r.release], r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listed == nil {
		s.listed, s.looks = make(map[string]map[string][]revision), make(map[string]*look)
	}
	s.listed[namespace] = of
	s.looks[namespace] = &look{version: version, acted: make(map[string]bool)}
}

// asOf returns the version of a list that has the whole history of a release as this
// process left it, or "". Whoever asks is going to act on the release.
func (s *seen) asOf(namespace, release string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.looks[namespace]
	if l == nil || l.acted[release] {
		return ""
	}
	l.acted[release] = true
	return l.version
}

// forget has it that what there is in a namespace changes now.
func (s *seen) forget(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.made, namespace)
	delete(s.listed, namespace)
}

// fresh reports whether a namespace was made just now, so that there is nothing in it.
func (s *seen) fresh(namespace string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.made[namespace]) < youth && len(s.listed[namespace]) == 0
}

// history returns the revisions of a release, if they are known.
func (s *seen) history(namespace, release string) ([]revision, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, known := s.listed[namespace]
	return all[release], known
}
