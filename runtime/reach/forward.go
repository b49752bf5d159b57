package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// A forward is one target with its local port.
type forward struct {
	f         *Forwarder
	listeners []*net.TCPListener
	cancel    func()
	wg        sync.WaitGroup

	// Guarded by f.mu.
	now      Forward
	reported bool   // now was reported
	users    int    // number of current local connections
	pod      string // the pod of the newest one
	err      error  // of the last one
	errAt    string // the version when err occurred
}

// end closes the local port and its connections.
func (fw *forward) end() {
	fw.cancel()
	for _, l := range fw.listeners {
		_ = l.Close()
	}
	fw.wg.Wait()
}

func (fw *forward) accept(ctx context.Context, l *net.TCPListener) {
	for {
		conn, err := l.AcceptTCP()
		switch {
		case err == nil:
			fw.wg.Go(func() { fw.serve(ctx, conn) })
		case errors.Is(err, net.ErrClosed):
			return
		default: // for example, no file descriptors are left
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// pick returns the pod for a new connection, or nil and the reason why there is none. It
// prefers the newest pod, which belongs to the last deploy.
func (fw *forward) pick() (*corev1.Pod, error) {
	pods := fw.f.pods.of(fw.now.Service)
	if of := slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return !declares(p, fw.now.Port) }); len(of) > 0 {
		pods = of // a chart may have several kinds of pods
	}
	if i := slices.IndexFunc(pods, fw.f.namespace.takes); i >= 0 {
		return pods[i], nil
	}
	listed, err := fw.f.pods.state()
	if err == nil && listed {
		err = noPod(fw.now.Service, pods, true)
	}
	return nil, err
}

// declares reports whether a container of a pod declares a port.
func declares(p *corev1.Pod, port int) bool {
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		for _, declared := range c.Ports {
			if int(declared.ContainerPort) == port && declared.Protocol != corev1.ProtocolUDP {
				return true
			}
		}
	}
	return false
}

// refresh determines the state, and reports it if it has changed. The caller holds
// f.mu.
func (fw *forward) refresh() {
	was := fw.now
	pod, err := fw.pick()
	if pod == nil || fw.errAt != fw.version(pod) {
		fw.err = nil // another attempt may succeed
	}
	fw.now.Pod, fw.now.Err = "", err
	if pod != nil {
		fw.now.Pod = pod.Name
		_, fw.now.Err = fw.f.pods.state()
	}
	switch {
	case refusedByServer(fw.now.Err):
		fw.now.State = Failed
	case pod == nil || fw.now.Err != nil:
		fw.now.State = Waiting
	case fw.err != nil:
		fw.now.State, fw.now.Err = Failed, fw.err
	case fw.users > 0:
		fw.now.State, fw.now.Pod = Connected, fw.pod
	default:
		fw.now.State = Listening
	}
	if fw.reported && fw.now.State == was.State && fw.now.Pod == was.Pod && text(fw.now.Err) == text(was.Err) {
		return
	}
	if fw.now.State == Waiting && fw.now.Err == nil {
		return // nothing is known yet
	}
	fw.reported = true
	fw.f.report(fw.now)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// refusedByServer reports whether the server has refused the request.
func refusedByServer(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

// serve forwards one local connection.
func (fw *forward) serve(ctx context.Context, conn *net.TCPConn) {
	c := &client{TCPConn: conn}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, c.abort)()
	hold := fw.f.namespace.times.hold
	held, stop := context.WithTimeoutCause(ctx, hold, fmt.Errorf("no pod could be reached within %s", hold))
	defer stop()
	const minPause, maxPause = 50 * time.Millisecond, time.Second
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		changed := fw.f.pods.next()
		var again <-chan time.Time
		pod, _ := fw.pick()
		var err error
		if pod != nil {
			o := fw.attempt(ctx, held, c, pod)
			switch err = o.err; {
			case o.retry:
			case err == nil:
				c.finish()
				return
			case errors.Is(err, errLost):
				c.abort() // for example, the pod was replaced, which is not a failure
				return
			default:
				fw.fail(ctx, c, pod, err)
				return
			}
			again = time.After(pause)
		}
		select {
		case <-changed:
		case <-again:
		case <-held.Done():
			fw.fail(ctx, c, pod, err)
			return
		}
	}
}

// attempt forwards a connection to a pod.
func (fw *forward) attempt(ctx, held context.Context, c *client, pod *corev1.Pod) outcome {
	links := fw.f.linksTo(pod)
	l, err := links.take(held)
	if err != nil {
		return outcome{err: err, retry: !refusedByServer(err)}
	}
	connected := false
	o := carry(ctx, c, l, pod.Name, fw.now.Port, func() {
		connected = true
		fw.connected(1, pod)
	})
	links.give(l, o.usable)
	if connected {
		fw.connected(-1, pod)
	}
	return o
}

// connected records that a connection has started or ended.
func (fw *forward) connected(n int, pod *corev1.Pod) {
	fw.f.mu.Lock()
	defer fw.f.mu.Unlock()
	fw.users += n
	if n > 0 {
		fw.pod, fw.err = pod.Name, nil
	}
	fw.refresh()
}

// fail ends a local connection because of an error of pod; nil: there is no pod.
func (fw *forward) fail(ctx context.Context, c *client, pod *corev1.Pod, err error) {
	c.abort()
	if pod == nil || ctx.Err() != nil {
		return // the missing pod is reported anyway
	}
	fw.f.mu.Lock()
	defer fw.f.mu.Unlock()
	fw.err, fw.errAt = err, fw.version(pod)
	fw.refresh()
}

// version changes with the pod, and when the cluster can be reached again.
func (fw *forward) version(p *corev1.Pod) string {
	return fmt.Sprint(p.UID, p.ResourceVersion, fw.f.pods.losses())
}
