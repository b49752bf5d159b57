package reach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinefile/pipe/runtime"
)

// A SyncEvent reports that changes were applied in a container, or could not be.
type SyncEvent struct {
	Place   Place
	Files   int   // copied
	Removed int   // removed in the container
	Bytes   int64 // of the files
	Took    time.Duration
	Restart bool  // the container was restarted with them
	Err     error // such as a *NoProgramError; nil: success
}

// Event returns the event for watch mode.
func (e SyncEvent) Event() runtime.Synced {
	return runtime.Synced{
		Pod: e.Place.Pod, Container: e.Place.Container, Files: e.Files, Removed: e.Removed, Bytes: e.Bytes, Took: e.Took, Restarted: e.Restart, Error: text(e.Err),
	}
}

// A Syncer keeps the files in running containers of services up to date with local files
// (W6). It remembers all changes since the image of a service was built, so that a
// container that starts later, after a crash, on another node or as an additional
// replica, gets all of them.
type Syncer struct {
	namespace *Namespace
	pods      *pods
	opts      SyncOptions
	stop      func()

	mu       sync.Mutex
	services map[string]*synced // guarded by mu
	sending  sync.Mutex         // held while report is called
}

var _ runtime.Syncer = (*Syncer)(nil)

// synced is the sync state of a service. Updates are numbered: a container has
// either all or none of an update and its predecessors.
type synced struct {
	working sync.Mutex // held while files are copied

	// Guarded by Syncer.mu.
	image    string
	changes  map[string]numbered[runtime.SyncChange] // since the image, by path in the container
	restart  int                                     // the number of the last update that restarts
	layered  map[string]*layer                       // derived images with all files of an update, by reference
	leaving  map[string]bool                         // containers that are being replaced, by their ID
	begun    map[string]time.Time                    // when the restart of a container began, by place
	commands []numbered[[]string]                    // run since the image, each once
	number   int                                     // of the last update
	has      map[string]int                          // the last update that a container has, by its ID; none: it is new
	tried    map[string]int                          // the update with which a container failed, by its ID
	hopeless map[string]int                          // the same, if a retry would fail in the same way
}

// numbered is a part of the update with that number.
type numbered[T any] struct {
	what   T
	number int
}

// SyncOptions configure a Syncer.
type SyncOptions struct {
	// Report is called for each event, not concurrently; nil: not reported.
	Report func(SyncEvent)
	// Layer adds a layer to an image, and returns the reference of the new image;
	// see registry.Registry.AddLayer. Nil: containers cannot be restarted.
	Layer func(ctx context.Context, image string, write func(io.Writer) error) (string, error)
}

// Syncer returns a syncer for the namespace's services. It must be closed before the
// namespace. A namespace has one syncer. Its forwards use a pod only when the pod has all
// changes.
func (n *Namespace) Syncer(opts SyncOptions) *Syncer {
	if opts.Report == nil {
		opts.Report = func(SyncEvent) {}
	}
	s := &Syncer{namespace: n, pods: n.watch(), opts: opts, services: make(map[string]*synced)}
	n.mu.Lock()
	n.syncer = s
	n.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.follow(ctx) })
	s.stop = func() {
		cancel()
		wg.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.syncer == s {
			n.syncer = nil
		}
	}
	return s
}

// Close stops copying. The containers keep their files.
func (s *Syncer) Close() { s.stop() }

// Set sets the reference of the image that the containers of a service have.
// Changes since another image are forgotten, because the new one contains them.
func (s *Syncer) Set(service, image string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is := s.services[service]; is != nil && is.image == image {
		return
	}
	s.services[service] = &synced{
		image: image, changes: make(map[string]numbered[runtime.SyncChange]), has: make(map[string]int), tried: make(map[string]int), hopeless: make(map[string]int), layered: make(map[string]*layer), leaving: make(map[string]bool), begun: make(map[string]time.Time),
	}
}

// Update implements [runtime.Syncer]: it returns when all running containers have the changes
// and the commands have ended. The error is [runtime.ErrNoSync] if the image of a container
// has no tar or no sh, or if the containers of the service have another image.
func (s *Syncer) Update(ctx context.Context, service string, u runtime.SyncUpdate) error {
	unknown := s.pods.known(ctx) // the changes are remembered in any case
	s.mu.Lock()
	is := s.services[service]
	if is == nil {
		s.mu.Unlock()
		return fmt.Errorf("sync %s: its image is not known", service)
	}
	theirs, all := s.containers(service, is)
	if all > 0 && len(theirs) == 0 {
		s.mu.Unlock()
		return fmt.Errorf("the image of the containers of %s is not the one that was deployed: %w", service, runtime.ErrNoSync)
	}
	for _, c := range theirs {
		if _, ok := is.has[c.id]; !ok && is.number == 0 {
			is.has[c.id] = 0 // it existed before the first change, so it is not new
		}
	}
	is.number++
	if u.Restart {
		is.restart = is.number
	}
	for _, c := range u.Changes {
		if info, err := os.Lstat(c.Path); err != nil || !info.IsDir() {
			maps.DeleteFunc(is.changes, func(to string, _ numbered[runtime.SyncChange]) bool { return inside(c.To, to) })
		}
		is.changes[c.To] = numbered[runtime.SyncChange]{c, is.number}
	}
	for _, args := range u.Run {
		is.commands = slices.DeleteFunc(is.commands, func(c numbered[[]string]) bool { return slices.Equal(c.what, args) })
		is.commands = append(is.commands, numbered[[]string]{args, is.number})
	}
	s.mu.Unlock()
	if unknown != nil {
		return unknown
	}
	return s.copyAll(ctx, service, is)
}

// Synced reports whether all running containers of a service that have its image have all
// changes. Until then, a container does not count as ready.
func (s *Syncer) Synced(service string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.services[service]
	return is == nil || len(is.leaving) == 0 && len(s.behind(service, is)) == 0
}

// A container is a running container.
type container struct {
	place Place
	id    string
	image string // as in its pod
}

// behind returns the running containers of a service that lack changes. The caller
// holds mu.
func (s *Syncer) behind(service string, is *synced) []container {
	if len(is.changes) == 0 {
		return nil
	}
	theirs, _ := s.containers(service, is)
	return slices.DeleteFunc(theirs, func(c container) bool { return is.has[c.id] >= is.number || is.leaving[c.id] })
}

// containers returns the running containers of a service that have its image, and the number
// of all its running containers.
func (s *Syncer) containers(service string, is *synced) (theirs []container, all int) {
	for _, p := range s.pods.of(service) {
		if running(p) {
			in, others := containersOf(service, p, is)
			theirs, all = append(theirs, in...), all+len(in)+others
		}
	}
	return theirs, all
}

// containersOf returns the running containers of a pod that have the image of its service, or
// one derived from it, and the number of other running containers.
func containersOf(service string, p *corev1.Pod, is *synced) (theirs []container, others int) {
	images := make(map[string]string)
	for _, c := range p.Spec.Containers {
		images[c.Name] = c.Image
	}
	for _, c := range p.Status.ContainerStatuses {
		_, layered := is.layered[images[c.Name]]
		switch {
		case c.State.Running == nil:
		case layered, sameImage(images[c.Name], is.image):
			theirs = append(theirs, container{Place{Service: service, Pod: p.Name, Container: c.Name}, c.ContainerID, images[c.Name]})
		default:
			others++
		}
	}
	return theirs, others
}

// sameImage reports whether two references name the same image: a chart may write
// a reference with both a tag and a digest.
func sameImage(a, b string) bool {
	_, digestA, okA := strings.Cut(a, "@")
	_, digestB, okB := strings.Cut(b, "@")
	return a == b || okA && okB && digestA == digestB
}

// complete reports whether the new containers of a pod have the changes of its
// service. A container that is not new counts even while it gets a change.
func (s *Syncer) complete(p *corev1.Pod) bool {
	service := p.Labels[labelService]
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.services[service]
	if is == nil || len(is.changes) == 0 {
		return true
	}
	theirs, _ := containersOf(service, p, is)
	return !slices.ContainsFunc(theirs, func(c container) bool { _, ok := is.has[c.id]; return !ok || is.leaving[c.id] })
}

// copyAll brings all running containers of a service up to date.
func (s *Syncer) copyAll(ctx context.Context, service string, is *synced) error {
	is.working.Lock()
	defer is.working.Unlock()
	s.mu.Lock()
	behind := s.behind(service, is)
	restarts := slices.ContainsFunc(behind, func(c container) bool { return is.restarts(c) })
	s.mu.Unlock()
	var with *layer
	if restarts {
		with = s.layer(ctx, is)
	}
	errs := make([]error, len(behind))
	var wg sync.WaitGroup
	limit := make(chan struct{}, maxCopies)
	for i, c := range behind {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			errs[i] = s.copyOne(ctx, c, is, with)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// maxCopies is the maximum number of containers of a service into which files are
// copied concurrently.
const maxCopies = 8

// copyOne brings one container up to date. If an update restarts it, it uses the layer.
func (s *Syncer) copyOne(ctx context.Context, c container, is *synced, with *layer) error {
	start := time.Now()
	s.mu.Lock()
	number := is.number
	if is.restarts(c) && with != nil {
		s.mu.Unlock()
		return s.restartOne(ctx, c, is, with)
	}
	changes := is.since(is.files(c))
	var commands [][]string
	for _, command := range is.commands {
		if command.number > is.has[c.id] {
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
	began, restarted := is.begun[c.place.String()]
	if l := is.layered[c.image]; restarted && l != nil {
		start, done = began, done.and(l.done)
	}
	if err == nil {
		is.has[c.id] = number
		delete(is.begun, c.place.String())
	}
	is.hasTried(c, number, err)
	s.mu.Unlock()
	if err == nil {
		s.pods.wakeAll() // it may accept connections now
	}
	s.send(SyncEvent{Place: c.place, Files: done.files, Removed: done.removed, Bytes: done.bytes, Took: time.Since(start), Restart: restarted, Err: err})
	return err
}

// files returns the number of the last update whose files a container has, including
// those in its image. The caller holds mu.
func (is *synced) files(c container) int {
	if l := is.layered[c.image]; l != nil {
		return max(is.has[c.id], l.number)
	}
	return is.has[c.id]
}

// restarts reports whether a container lacks files of an update that restarts it.
// The caller holds mu.
func (is *synced) restarts(c container) bool { return is.restart > is.files(c) }

// since returns the changes of the updates after that number, sorted by destination. The
// caller holds mu.
func (is *synced) since(number int) []runtime.SyncChange {
	var changes []runtime.SyncChange
	for _, to := range slices.Sorted(maps.Keys(is.changes)) {
		if change := is.changes[to]; change.number > number {
			changes = append(changes, change.what)
		}
	}
	return changes
}

// hasTried records the result of an attempt with a container. The caller holds mu.
func (is *synced) hasTried(c container, number int, err error) {
	var lacks *NoProgramError
	var exit *ExitError
	is.tried[c.id] = number
	if errors.As(err, &lacks) || errors.As(err, &exit) {
		is.hopeless[c.id] = number
	}
}

// send reports an event, not concurrently.
func (s *Syncer) send(e SyncEvent) {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.opts.Report(e)
}

// follow brings new containers up to date, until ctx is done.
func (s *Syncer) follow(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	retry := time.NewTicker(retryTime)
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
				maps.DeleteFunc(is.tried, func(id string, number int) bool { return is.hopeless[id] < number })
			}
			s.mu.Unlock()
		case <-ctx.Done():
		}
	}
}

// retryTime is the interval at which a failed copy into a container is retried, unless the
// image lacks the program or a command has failed.
const retryTime = 10 * time.Second

// forget forgets containers that are gone. The caller holds mu.
func (s *Syncer) forget(service string, is *synced) {
	there := make(map[string]bool)
	for _, p := range s.pods.of(service) {
		for _, c := range p.Status.ContainerStatuses {
			there[c.ContainerID] = true
		}
	}
	maps.DeleteFunc(is.leaving, func(id string, _ bool) bool { return !there[id] })
	gone := func(id string, _ int) bool { return !there[id] }
	maps.DeleteFunc(is.has, gone)
	maps.DeleteFunc(is.tried, gone)
	maps.DeleteFunc(is.hopeless, gone)
}
