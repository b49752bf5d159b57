package reach

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// A SyncEvent says that changes were carried out in a container, or could not be.
type SyncEvent struct {
	Place   Place
	Files   int   // copied
	Removed int   // removed in the container
	Bytes   int64 // of the files
	Took    time.Duration
	Err     error // such as a *NoProgramError; nil: all is there
}

// A Syncer keeps the running containers of services as the files on this disk are
// (W6). What has changed since the image of a service is remembered, so that a
// container that comes later, after a crash, on another node or as a further
// replica, gets all of it.
type Syncer struct {
	namespace *Namespace
	pods      *pods
	report    func(SyncEvent)
	stop      func()

	mu       sync.Mutex
	services map[string]*synced // guarded by mu
	telling  sync.Mutex         // held while report is called
}

// synced is what was synced of a service. Updates are numbered: a container has
// all of one and of those before it, or not.
type synced struct {
	working sync.Mutex // held while something is copied

	// Guarded by Syncer.mu.
	image    string
	changes  map[string]numbered[SyncChange] // since the image, by their place in the container
	commands []numbered[[]string]            // that ran since the image, each once
	number   int                             // of the last update
	has      map[string]int                  // the number that a container has, by its ID
	tried    map[string]int                  // the number with which a container has failed, by its ID
}

// numbered is a part of the update of that number.
type numbered[T any] struct {
	what   T
	number int
}

// Syncer returns a syncer of the namespace's services. report is told, one after
// the other, of what was copied; nil: nobody is. It must be closed before the
// namespace.
func (n *Namespace) Syncer(report func(SyncEvent)) *Syncer {
	if report == nil {
		report = func(SyncEvent) {}
	}
	s := &Syncer{namespace: n, pods: n.watch(), report: report, services: make(map[string]*synced)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.follow(ctx) })
	s.stop = func() {
		cancel()
		wg.Wait()
	}
	return s
}

// Close ends the copying. The containers stay as they are.
func (s *Syncer) Close() { s.stop() }

// Set says which image the containers of a service have, by its reference. What
// was changed since another image is forgotten: the new one has it.
func (s *Syncer) Set(service, image string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is := s.services[service]; is != nil && is.image == image {
		return
	}
	s.services[service] = &synced{image: image, changes: make(map[string]numbered[SyncChange]), has: make(map[string]int), tried: make(map[string]int)}
}

// Update carries changes out in all running containers of a service that have its
// image, runs the commands in each of them, and remembers the changes for
// containers that come later. The error joins those of the containers.
func (s *Syncer) Update(ctx context.Context, service string, changes []SyncChange, run [][]string) error {
	s.mu.Lock()
	is := s.services[service]
	if is == nil {
		s.mu.Unlock()
		return fmt.Errorf("sync %s: its image is not known", service)
	}
	is.number++
	for _, c := range changes {
		for to := range is.changes { // what was below a directory that is gone, or is a file now
			if _, ok := below(c.To, to); ok {
				delete(is.changes, to)
			}
		}
		is.changes[c.To] = numbered[SyncChange]{c, is.number}
	}
	for _, args := range run {
		is.commands = slices.DeleteFunc(is.commands, func(c numbered[[]string]) bool { return slices.Equal(c.what, args) })
		is.commands = append(is.commands, numbered[[]string]{args, is.number})
	}
	s.mu.Unlock()
	return s.copyAll(ctx, service, is)
}

// Synced reports whether all running containers of a service that have its image
// have all changes. Until then a container does not count as ready.
func (s *Syncer) Synced(service string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.services[service]
	return is == nil || len(s.behind(service, is)) == 0
}

// A container is one that lacks changes.
type container struct {
	place Place
	id    string
}

// behind returns the running containers of a service that lack changes. The caller
// holds mu.
func (s *Syncer) behind(service string, is *synced) []container {
	var found []container
	if len(is.changes) == 0 {
		return nil
	}
	for _, p := range s.pods.of(service) {
		if !running(p) {
			continue
		}
		images := make(map[string]string)
		for _, c := range p.Spec.Containers {
			images[c.Name] = c.Image
		}
		for _, c := range p.Status.ContainerStatuses {
			if c.State.Running != nil && images[c.Name] == is.image && is.has[c.ContainerID] < is.number {
				found = append(found, container{Place{Service: service, Pod: p.Name, Container: c.Name}, c.ContainerID})
			}
		}
	}
	return found
}

// copyAll brings all running containers of a service up to date.
func (s *Syncer) copyAll(ctx context.Context, service string, is *synced) error {
	is.working.Lock()
	defer is.working.Unlock()
	s.mu.Lock()
	behind := s.behind(service, is)
	s.mu.Unlock()
	errs := make([]error, len(behind))
	var wg sync.WaitGroup
	limit := make(chan struct{}, mostCopies)
	for i, c := range behind {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			errs[i] = s.copyOne(ctx, c, is)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// mostCopies bounds the containers of a service into which files are copied
// concurrently.
const mostCopies = 8

// copyOne brings one container up to date.
func (s *Syncer) copyOne(ctx context.Context, c container, is *synced) error {
	start := time.Now()
	s.mu.Lock()
	number, has := is.number, is.has[c.id]
	var changes []SyncChange
	for _, to := range slices.Sorted(maps.Keys(is.changes)) {
		if change := is.changes[to]; change.number > has {
			changes = append(changes, change.what)
		}
	}
	var commands [][]string
	for _, command := range is.commands {
		if command.number > has {
			commands = append(commands, command.what)
		}
	}
	s.mu.Unlock()
	done, err := s.namespace.copyTo(ctx, c.place, changes)
	for _, args := range commands {
		if err == nil {
			err = s.namespace.afterCopy(ctx, c.place, args)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	if is.tried[c.id] = number; err == nil {
		is.has[c.id] = number
	}
	s.mu.Unlock()
	s.telling.Lock()
	defer s.telling.Unlock()
	s.report(SyncEvent{Place: c.place, Files: done.files, Removed: done.removed, Bytes: done.bytes, Took: time.Since(start), Err: err})
	return err
}

// follow brings containers up to date that have come, until ctx ends.
func (s *Syncer) follow(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	retry := time.NewTicker(retryTime) // of what has failed for another reason than its image
	defer retry.Stop()
	for ctx.Err() == nil {
		changed := s.pods.next()
		s.mu.Lock()
		for service, is := range s.services {
			s.forget(service, is)
			if slices.ContainsFunc(s.behind(service, is), func(c container) bool { return is.tried[c.id] < is.number }) {
				wg.Go(func() { _ = s.copyAll(ctx, service, is) }) // it is reported
			}
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-retry.C:
			s.mu.Lock()
			for _, is := range s.services {
				clear(is.tried)
			}
			s.mu.Unlock()
		case <-ctx.Done():
		}
	}
}

// retryTime is how often a container is tried again into which nothing could be
// copied.
const retryTime = 10 * time.Second

// forget forgets containers that are gone. The caller holds mu.
func (s *Syncer) forget(service string, is *synced) {
	there := make(map[string]bool)
	for _, p := range s.pods.of(service) {
		for _, c := range p.Status.ContainerStatuses {
			there[c.ContainerID] = true
		}
	}
	gone := func(id string, _ int) bool { return !there[id] }
	maps.DeleteFunc(is.has, gone)
	maps.DeleteFunc(is.tried, gone)
}
