package build

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"

	"github.com/pipelinefile/pipe/plan"
)

// contexts are the build contexts that are being sent to one builder. Concurrent builds
// of the same context, such as several targets of a Dockerfile, share a
// session for it. BuildKit then treats their contexts as the same and requests
// the files once.
type contexts struct {
	mu   sync.Mutex
	open map[string]*shared
}

// A shared is a session that sends one context.
type shared struct {
	session *session.Session
	users   int // guarded by contexts.mu
	stop    context.CancelFunc
	stopped chan struct{}
}

// share returns the session that sends t for the Dockerfile, until release.
func (c *contexts) share(dial session.Dialer, t *tree, dockerfile string) (id string, release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The digest in the key makes sure that no build gets files of another state.
	key := t.key + " " + string(t.digest) + " " + dockerfile
	s := c.open[key]
	if s == nil || s.over() {
		if s, err = newShared(dial, t, dockerfile); err != nil {
			return "", nil, err
		}
		if c.open == nil {
			c.open = map[string]*shared{}
		}
		c.open[key] = s
	}
	s.users++
	return s.session.ID(), func() { c.release(key, s) }, nil
}

func newShared(dial session.Dialer, t *tree, dockerfile string) (*shared, error) {
	// It ends with its last user, not with the context of the first one.
	ctx, stop := context.WithCancel(quiet(context.Background()))
	sess, err := session.NewSession(ctx, sharedKey(t.dir, dockerfile))
	if err != nil {
		stop()
		return nil, err
	}
	sess.Allow(filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": &t.folder}))
	s := &shared{session: sess, stop: stop, stopped: make(chan struct{})}
	go func() {
		defer close(s.stopped)
		// The builds notice its end, like that of their own sessions.
		_ = sess.Run(ctx, dial)
	}()
	return s, nil
}

// over reports whether the connection of s is closed.
func (s *shared) over() bool {
	select {
	case <-s.stopped:
		return true
	default:
		return false
	}
}

func (c *contexts) release(key string, s *shared) {
	c.mu.Lock()
	s.users--
	last := s.users == 0
	if last && c.open[key] == s {
		delete(c.open, key)
	}
	c.mu.Unlock()
	if last {
		s.stop()
		_ = s.session.Close() // always nil
		<-s.stopped
	}
}

// sharedKey identifies a context of this machine, so that BuildKit finds its previous
// copy and requests only the differences.
func sharedKey(dir, dockerfile string) string {
	host, _ := os.Hostname()
	return string(plan.DigestOf([]byte(host + "\x00" + filepath.Clean(dir) + "\x00" + dockerfile)))
}
