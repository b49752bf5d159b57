package inspect

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// A follower reads the log of one container, across restarts.
type follower struct {
	logs    *logs
	key     containerKey
	pod     *corev1.Pod // as it was first seen
	service string
	reader  *logReader
	from    begin
	state   func() logState
	stop    context.CancelFunc
	ended   chan struct{} // closed when reading ends; start may begin again when the container restarts

	restarts int32 // the restart count of the log that is being read
	began    bool  // restarts is set
	over     bool  // that log was read to its end
	refused  bool  // the server refuses to return the log
}

// A logState is the state of a container according to its pod.
type logState struct {
	there    bool // the pod exists
	begun    bool // there is a log
	running  bool // the log may grow
	restarts int32
}

func stateOf(p *corev1.Pod, container string) logState {
	s := logState{there: true}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if c.Name == container {
			s.running, s.restarts = c.State.Running != nil, c.RestartCount
			s.begun = s.running || c.State.Terminated != nil || c.LastTerminationState.Terminated != nil
		}
	}
	return s
}

// start reads the log in a goroutine, unless that is running or there is nothing left to
// read.
func (f *follower) start(ctx context.Context, wake chan struct{}, wg *sync.WaitGroup) {
	if f.ended != nil {
		select {
		case <-f.ended:
		default:
			return
		}
	}
	if f.refused || f.over && f.state().restarts == f.restarts {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	f.stop, f.ended = stop, ended
	if f.reader == nil {
		f.reader = f.logs.reader(f.pod, f.key.name, f.service, nil)
		f.reader.open = f.logs.carefully(f.pod.Spec.NodeName, f.reader.open)
	}
	f.reader.give = func(line LogLine) {
		if f.logs.follows(f.service) {
			f.logs.give(ctx, line)
		}
	}
	wg.Go(func() {
		defer func() {
			stop()
			close(ended)
			select { // something may have changed since the last check
			case wake <- struct{}{}:
			default:
			}
		}()
		f.run(ctx)
	})
}

// Pauses before a log is requested again: after it ended although its container seems to run,
// because the status may be outdated, and after it could not be opened.
const (
	lookAgain = time.Second
	askAgain  = 5 * time.Second
)

// run reads the log until its container has ended, and also the logs of its restarts.
func (f *follower) run(ctx context.Context) {
	again := lookAgain
	for ctx.Err() == nil {
		s := f.state()
		if !s.there || !s.begun {
			f.reader.finish()
			return
		}
		if f.began && s.restarts != f.restarts {
			// The lines after a restart are later ones, and some of them may have been read
			// before the pod's status showed the restart.
			f.previous(ctx, s.restarts-f.restarts)
			f.reader.finish()
			f.from, f.over = begin{}, false
		}
		f.restarts, f.began = s.restarts, true
		last := f.reader.last
		opened, err := f.read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && !s.running: // it had ended before it was read
			f.reader.finish()
			f.over = true
			return
		case opened: // it has ended, or the connection is lost
			if f.reader.last != last || f.state() != s {
				again = lookAgain
			}
			if f.state() == s {
				_ = retry.Pause(ctx, again) // the loop ends with ctx
				again = min(2*again, askAgain)
			}
			continue
		}
		u := unread{f.pod.Spec.NodeName, f.pod.Name, f.key.name, err}
		switch {
		case u.gone(): // or it is about to start, which the pod's status will show
			_ = retry.Pause(ctx, lookAgain)
			continue
		case u.refused():
			f.logs.unreadable(u)
			f.refused = true
			f.reader.finish()
			return
		}
		f.logs.unreadable(u)
		_ = retry.Pause(ctx, askAgain)
	}
}

// read reads the log once, when its node answers and the Secrets are known. opened reports
// whether there was a log to read.
func (f *follower) read(ctx context.Context) (opened bool, err error) {
	l, node := f.logs, f.pod.Spec.NodeName
	for d := l.admit(node); d > 0; d = l.admit(node) {
		if err := retry.Pause(ctx, d); err != nil {
			return false, err
		}
	}
	// Read the Secrets now: a container has them before it prints anything.
	if err := l.hide.fresh(ctx, time.Now()); err != nil {
		if !apierrors.IsForbidden(err) {
			return false, err
		}
		l.unhidden(err)
	}
	return f.reader.read(ctx, f.from, corev1.PodLogOptions{Follow: true})
}

// previous passes the rest of the log before a restart. If there was more than one restart,
// that log is not available.
func (f *follower) previous(ctx context.Context, times int32) {
	if times == 1 && !f.over {
		_, _ = f.reader.read(ctx, f.from, corev1.PodLogOptions{Previous: true}) // the node may have deleted it
	}
}

// admit returns how long to wait before requesting a log from a node. For a node that does
// not answer, only one log at a time is tried.
func (l *logs) admit(node string) time.Duration {
	l.of.Lock()
	defer l.of.Unlock()
	until, away := l.away[node]
	now := time.Now()
	if away && now.Before(until) {
		return until.Sub(now)
	}
	if away {
		l.away[node] = now.Add(askAgain)
	}
	return 0
}

// carefully limits the number of logs that are opened concurrently, and records whether the
// node answers.
func (l *logs) carefully(node string, open openLog) openLog {
	return func(ctx context.Context, opts *corev1.PodLogOptions) (io.ReadCloser, error) {
		select {
		case l.opening <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		stream, err := open(ctx, opts)
		<-l.opening
		l.of.Lock()
		defer l.of.Unlock()
		switch {
		case err == nil:
			delete(l.away, node)
		case (unread{err: err}).ofNode() != "":
			l.away[node] = time.Now().Add(askAgain)
		}
		return stream, err
	}
}
