// Package supervise keeps the processes of a cluster alive until it is stopped.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

// ErrRunning is the error if another supervisor holds the directory.
var ErrRunning = errors.New("a supervisor is already running")

// ProxyPrefix is the prefix of the variables of the supervisor's environment that name the proxies for
// the internet.
const ProxyPrefix = "PIPE_CLUSTER_WORLD_"

type supervisor struct {
	dir    home.Dir
	config home.Config
	log    *log.Logger
	spawn  func(start func() error) error

	wg     sync.WaitGroup
	failed chan error

	mu      sync.Mutex // guards what follows
	state   home.State
	ready   map[string]bool // by child: usable now
	once    map[string]bool // by child: was usable before
	changed chan struct{}   // closed at each change
}

// Run keeps the cluster in the directory alive until the context ends; its configuration must have been
// written before. Then it stops everything and leaves only the cluster's data on the machine. An error
// says why it gave up.
func Run(ctx context.Context, d home.Dir) error {
	if err := d.Make(); err != nil {
		return err
	}
	// A process that checks whether a supervisor is running holds the lock for a moment.
	soon, cancel := context.WithTimeoutCause(ctx, 2*time.Second, ErrRunning)
	lock, err := home.WaitLock(soon, d.SupervisorLock(), func() {})
	cancel()
	if err != nil {
		return err
	}
	defer lock.Unlock()
	config, ok, err := d.ReadConfig()
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s holds no cluster", d)
	}
	s := &supervisor{
		dir:     d,
		config:  config,
		log:     log.New(os.Stderr, "", log.LstdFlags|log.Lmicroseconds),
		spawn:   spawner(),
		failed:  make(chan error, 8),
		ready:   map[string]bool{},
		once:    map[string]bool{},
		changed: make(chan struct{}),
		state:   home.State{Phase: home.Starting, Supervisor: proc.Self()},
	}
	s.update(func(*home.State) {})
	defer context.AfterFunc(ctx, func() {
		s.update(func(st *home.State) { st.Phase, st.Doing = home.Stopping, "stopping the control plane" })
	})()
	s.logf("supervisor %d: %s node", os.Getpid(), config.Node)
	go s.tend(ctx)

	switch config.Node {
	case home.Real:
		err = s.real(ctx)
	case home.Simulated:
		err = s.simulated(ctx)
	default:
		err = fmt.Errorf("unknown kind of node %q in %s", config.Node, d.Path("cluster.json"))
	}
	if err != nil && ctx.Err() == nil {
		s.logf("gave up: %v", err)
		s.update(func(st *home.State) { st.Phase, st.Why, st.Doing = home.Failed, err.Error(), "" })
		return err
	}
	s.logf("stopped")
	s.mu.Lock() // see mendState
	defer s.mu.Unlock()
	return os.Remove(d.Path("state.json"))
}

// mendState rewrites the state file if it is damaged, unless the supervisor is stopping.
func (s *supervisor) mendState(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.dir.ReadState(); !errors.Is(err, home.ErrDamaged) || ctx.Err() != nil {
		return
	}
	s.logf("%s was damaged, and is written again", s.dir.Path("state.json"))
	if err := s.dir.WriteState(s.state); err != nil {
		s.logf("write state: %v", err)
	}
}

// simulated runs a cluster with a simulated node, which needs only the control plane.
func (s *supervisor) simulated(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer s.wg.Wait()
	defer stop()
	s.start(ctx, s.role("control-plane", 20*time.Second))
	return s.watch(ctx, "control-plane")
}

// role returns a child that is this program.
func (s *supervisor) role(name string, grace time.Duration) child {
	return child{name: name, path: self(), args: []string{"role", name, "--dir", string(s.dir)}, grace: grace}
}

// start keeps a child alive until the context ends. The returned channel is closed when the child has
// been stopped.
func (s *supervisor) start(ctx context.Context, c child) <-chan struct{} {
	done := make(chan struct{})
	s.wg.Go(func() {
		defer close(done)
		if err := s.keep(ctx, c); err != nil {
			s.failed <- err
		}
	})
	return done
}

// await waits until the children are usable.
func (s *supervisor) await(ctx context.Context, names ...string) error {
	return s.until(ctx, func() bool { return s.allReady(names) })
}

// watch updates the phase until the context ends: the cluster is running when all its children are
// usable.
func (s *supervisor) watch(ctx context.Context, names ...string) error {
	for {
		if err := s.await(ctx, names...); err != nil {
			return err
		}
		s.update(func(st *home.State) { st.Phase, st.Doing, st.Why = home.Running, "", "" })
		s.logf("running")
		if err := s.until(ctx, func() bool { return !s.allReady(names) }); err != nil {
			return err
		}
	}
}

// until waits until holds, which is called under the lock, returns true. It returns the error of a
// child that was given up.
func (s *supervisor) until(ctx context.Context, holds func() bool) error {
	for {
		s.mu.Lock()
		ok, changed := holds(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-s.failed:
			return err
		case <-changed:
		}
	}
}

func (s *supervisor) allReady(names []string) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return !s.ready[n] })
}

func (s *supervisor) update(f func(*home.State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.state)
	close(s.changed)
	s.changed = make(chan struct{})
	if err := s.dir.WriteState(s.state); err != nil {
		s.logf("write state: %v", err)
	}
}

// child records the state of a child.
func (s *supervisor) child(name string, id proc.ID, state home.ChildState) {
	s.update(func(st *home.State) {
		c := home.Child{Name: name, ID: id, State: state}
		for i := range st.Children {
			if st.Children[i].Name == name {
				st.Children[i] = c
				return
			}
		}
		st.Children = append(st.Children, c)
	})
}

func (s *supervisor) died(name, why string) {
	s.child(name, proc.ID{}, home.ChildRestarting)
	s.update(func(st *home.State) {
		s.ready[name] = false
		st.Phase, st.Why, st.Doing = home.Starting, why, "restarting it, because "+why
	})
}

func (s *supervisor) usable(name string) {
	s.logf("%s is usable", name)
	s.update(func(*home.State) { s.ready[name], s.once[name] = true, true })
}

func (s *supervisor) everReady(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.once[name]
}

func (s *supervisor) doing(text string) {
	s.update(func(st *home.State) {
		if st.Phase != home.Running {
			st.Doing = text
		}
	})
	s.logf("%s", text)
}

func (s *supervisor) logf(format string, args ...any) { s.log.Printf(format, args...) }
