package runtime

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/pipelinefile/pipe/plan"
)

// ErrStale is the reason why a run, or its work on one service, ended before it was
// done: a newer run of the same [Session] has superseded it (SPEC W3). It is not a failure.
var ErrStale = errors.New("superseded by a newer change")

// A Session carries out overlapping deploys of one environment, for watch
// mode (SPEC W3). Each run covers the whole environment, so that the last one
// has the same result as a run without a session. When a newer run knows what it
// will do, it takes over from the older ones:
//
//   - work that they have not started, it does itself;
//   - a build whose image it no longer needs is cancelled;
//   - a build whose image it needs, too, continues, and its result counts;
//   - a deploy of the same release continues, and its result counts;
//   - a wait for Secrets ends, and the newer run waits instead;
//   - any other deploy continues until the newer run has a release to write for the
//     service: then it finishes its writes (A4), and no longer waits for readiness.
//
// So a change of one service neither delays nor restarts the work on others.
//
// The runs share one lease, which is held while any of them runs and not between
// them (A5). A session remembers failures that are caused by the input of a build or
// deploy: until the input changes, or [Session.Forget] is called, later runs fail
// immediately. It also remembers what it left deployed: if another
// run has changed a service meanwhile, the session reports that with Warned and leaves
// the service alone until its inputs change here, it is removed and added again, or
// the request sets Force.
type Session struct {
	runtime Runtime

	mu       sync.Mutex
	number   int                    // of the newest run
	clock    int                    // counts the acts that have ended
	taken    int                    // number of the last run that has taken over
	runs     map[*run]*work         // the runs that have not ended
	builds   map[string]*making     // by content of the image
	acting   map[string]*act        // by service, the current act on it
	acted    map[string]*act        // by service, the last act on it
	failures map[string]failure     // by service, or by identity of an image
	left     map[string]plan.Digest // what the session left deployed, by service
	reported map[string]int         // reported revisions by others, by service
	owner    bool                   // the environment is known to own the namespace
}

// A work is the state of one run of a session.
type work struct {
	looked int  // the session's clock when the run looked up what is deployed
	stale  bool // a newer run has taken over
}

// A making is an image that is being built or copied.
type making struct {
	cancel   context.CancelCauseFunc
	done     chan struct{}
	byDigest string // set before done is closed
	err      error  // set before done is closed
}

// An act is the work of a run on one service.
type act struct {
	fingerprint plan.Digest
	namespace   string // of the release
	cancel      context.CancelCauseFunc
	done        chan struct{}
	state       State      // set before done is closed
	err         error      // set before done is closed
	leftAlone   *LeftAlone // set before done is closed
	ended       int        // the session's clock then
}

// A failure is remembered until the input changes.
type failure struct {
	of  plan.Digest // of a service: the fingerprint that it was deployed with
	err error
}

// NewSession returns a session of deploys on r.
func (r *Runtime) NewSession() *Session {
	s := &Session{
		runtime:  *r,
		runs:     make(map[*run]*work),
		builds:   make(map[string]*making),
		acting:   make(map[string]*act),
		acted:    make(map[string]*act),
		failures: make(map[string]failure),
		left:     make(map[string]plan.Digest),
		reported: make(map[string]int),
	}
	s.runtime.Locker = &sharedLocker{Locker: r.Locker}
	return s
}

// Next returns the turn of the next run, which is newer than all previous ones,
// regardless of when it starts.
func (s *Session) Next() *Turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	return &Turn{s, s.number}
}

// Forget makes the next run retry failed work even if its input has not changed, and
// replace what other runs have deployed meanwhile.
func (s *Session) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.failures)
	clear(s.left)
	clear(s.reported)
}

// drop forgets the services that p does not have: adding one again is a change made
// here, regardless of what happened to its release meanwhile. The caller holds mu.
func (s *Session) drop(p *plan.Plan) {
	dropped := func(name string) bool { return p.Service(name) == nil }
	maps.DeleteFunc(s.left, func(name string, _ plan.Digest) bool { return dropped(name) })
	maps.DeleteFunc(s.reported, func(name string, _ int) bool { return dropped(name) })
}

// content identifies the content of an image: images with the same content are equal.
func (im *image) content() string {
	if im.build != nil {
		return string(im.identity) + " " + im.signer
	}
	return im.source() + " " + im.byDigest
}

// acts records that an act on a service has ended. The caller holds mu.
func (s *Session) acts(name string, a *act, state State, err error) {
	s.clock++
	a.state, a.err, a.ended = state, err, s.clock
	delete(s.acting, name)
	s.acted[name] = a
	close(a.done)
}
