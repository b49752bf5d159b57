package reach

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// HoldTime is how long a local connection is held while no pod can accept it, for
// example while pods are replaced.
const HoldTime = 10 * time.Second

// A Target is a port of a service that a local port is forwarded to.
type Target struct {
	Service string `json:"service"`
	Port    int    `json:"port"`            // the TCP port that the service's containers listen on
	Local   int    `json:"local,omitempty"` // 0: Port if it is free, otherwise any free port
}

// A ForwardState is the state of a forward.
type ForwardState string

// The states of a forward.
const (
	Listening ForwardState = "listening" // a pod is ready, and there are no connections
	Connected ForwardState = "connected" // there are connections to a pod
	Waiting   ForwardState = "waiting"   // no pod is ready, or the cluster does not respond: new connections are held for HoldTime
	Failed    ForwardState = "failed"    // the last connection failed, or none is possible
)

// A Forward is a target and its state.
type Forward struct {
	Target
	Address netip.AddrPort // the local address; invalid if it does not listen
	// Taken is the reason why a port other than Target.Port is used if no local port was
	// requested; otherwise it is nil.
	Taken *TakenError
	State ForwardState
	Pod   string // the pod of the newest connection, or of the next one
	Err   error  // why it is Waiting, such as a *NoPodError, or Failed; nil while unknown
}

// ForwardOptions configure a Forwarder.
type ForwardOptions struct {
	Address netip.Addr    // default: the loopback addresses 127.0.0.1 and ::1
	Report  func(Forward) // called for each change, not concurrently; it must not call the Forwarder; nil: not reported
}

// A Forwarder forwards local ports to ports of services. A local port stays open
// while pods are replaced: each connection goes to the newest pod that is ready
// and not terminating, and is held for HoldTime while there is none.
type Forwarder struct {
	namespace *Namespace
	pods      *pods
	addrs     []netip.Addr
	report    func(Forward)
	begin     func() (context.Context, context.CancelFunc) // a context that ends with Close at the latest
	cancel    func()
	wg        sync.WaitGroup // goroutines that do not belong to one forward
	setting   sync.Mutex     // held by Set and Close

	mu       sync.Mutex
	forwards []*forward           // guarded by mu
	links    map[types.UID]*links // to pods; guarded by mu
}

// Forwarder returns a forwarder of ports to the namespace's services. It must be
// closed before the namespace.
func (n *Namespace) Forwarder(opts ForwardOptions) *Forwarder {
	f := &Forwarder{namespace: n, pods: n.watch(), addrs: loopback, report: opts.Report, links: make(map[types.UID]*links)}
	if opts.Address.IsValid() {
		f.addrs = []netip.Addr{opts.Address}
	}
	if f.report == nil {
		f.report = func(Forward) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.begin, f.cancel = func() (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }, cancel
	f.wg.Go(func() { f.follow(ctx) })
	return f
}

// Close closes all local ports and their connections.
func (f *Forwarder) Close() {
	f.setting.Lock()
	defer f.setting.Unlock()
	f.cancel()
	f.mu.Lock()
	all := f.forwards
	f.forwards = nil
	f.mu.Unlock()
	for _, fw := range all {
		fw.end()
	}
	f.wg.Wait()
	for _, ls := range f.links {
		ls.end()
	}
}

// Set replaces the set of targets that are forwarded, and returns their forwards, in the
// order of targets. An existing forward is not changed, and keeps its local port. The error
// joins a *TakenError for each requested local port that is not available; the other targets
// are forwarded regardless.
func (f *Forwarder) Set(targets []Target) ([]Forward, error) {
	f.setting.Lock()
	defer f.setting.Unlock()
	f.mu.Lock()
	var kept, gone []*forward
	for _, fw := range f.forwards {
		if slices.Contains(targets, fw.now.Target) {
			kept = append(kept, fw)
		} else {
			gone = append(gone, fw)
		}
	}
	f.forwards = kept
	f.mu.Unlock()
	for _, fw := range gone { // first, because another target may request its port
		fw.end()
	}
	var errs []error
	for _, asked := range []bool{true, false} { // requested ports have precedence over default ones
		for _, t := range targets {
			if (t.Local != 0) != asked || f.find(t) != nil {
				continue
			}
			if err := f.add(t); err != nil {
				errs = append(errs, err)
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var now []Forward
	for _, t := range targets {
		i := slices.IndexFunc(f.forwards, func(fw *forward) bool { return fw.now.Target == t })
		if i >= 0 {
			now = append(now, f.forwards[i].now)
		}
	}
	return now, errors.Join(errs...)
}

func (f *Forwarder) find(t Target) *forward {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fw := range f.forwards {
		if fw.now.Target == t {
			return fw
		}
	}
	return nil
}

// Known returns when the pods of the services are known, or returns the error that prevents
// it.
func (f *Forwarder) Known(ctx context.Context) error { return f.pods.known(ctx) }

// follow keeps the states up to date, and closes connections to pods that no longer exist.
func (f *Forwarder) follow(ctx context.Context) {
	// Many pods may change at the same time, so limit the rate of refreshes.
	const rest = 50 * time.Millisecond
	for ctx.Err() == nil {
		changed := f.pods.next()
		f.refresh()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
		}
	}
}

func (f *Forwarder) refresh() {
	f.mu.Lock()
	defer f.mu.Unlock()
	there := make(map[types.UID]bool)
	for _, obj := range f.pods.List() {
		if pod, ok := obj.(*corev1.Pod); ok {
			there[pod.UID] = true
		}
	}
	for uid, ls := range f.links {
		if !there[uid] {
			delete(f.links, uid)
			ls.end()
		}
	}
	for _, fw := range f.forwards {
		fw.refresh()
	}
}

// linksTo returns the connections to a pod.
func (f *Forwarder) linksTo(pod *corev1.Pod) *links {
	f.mu.Lock()
	defer f.mu.Unlock()
	ls := f.links[pod.UID]
	if ls == nil {
		ls = newLinks(func(ctx context.Context) (*link, error) { return f.namespace.dial(ctx, pod.Name) })
		f.links[pod.UID] = ls
	}
	return ls
}

// add opens the local port of a target.
func (f *Forwarder) add(t Target) error {
	port := t.Local
	if port == 0 {
		port = t.Port
	}
	listeners, port, err := listen(f.addrs, port)
	var taken *TakenError
	if errors.As(err, &taken) {
		f.mu.Lock()
		for _, fw := range f.forwards {
			if int(fw.now.Address.Port()) == taken.Port {
				taken.Service = fw.now.Service
			}
		}
		f.mu.Unlock()
		if t.Local == 0 {
			listeners, port, err = listen(f.addrs, 0)
		}
	}
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.report(Forward{Target: t, State: Failed, Err: err})
		return err
	}
	fw := &forward{f: f, listeners: listeners, now: Forward{
		Target: t, Address: netip.AddrPortFrom(f.addrs[0], uint16(port)), Taken: taken, State: Waiting,
	}}
	ctx, cancel := f.begin()
	fw.cancel = cancel
	f.mu.Lock()
	f.forwards = append(f.forwards, fw)
	fw.refresh()
	f.mu.Unlock()
	for _, l := range listeners {
		fw.wg.Go(func() { fw.accept(ctx, l) })
	}
	return nil
}
