package inspect

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// A LogLine is a line of output of a container.
type LogLine struct {
	Service   string    `json:"service"`
	Pod       string    `json:"pod"`
	Container string    `json:"container"`
	Time      time.Time `json:"time"` // when it was printed, by the clock of its node
	Text      string    `json:"text"` // without the newline
}

// LogOptions select the lines of Logs.
type LogOptions struct {
	Services []string      // nil: all services that do not belong to another environment
	Follow   bool          // continue until the context is done, and include new pods
	Since    time.Duration // maximum age of a line; 0: all
	// Tail is the maximum number of existing lines of each container; 0: all. Logs that start
	// later are not limited.
	Tail int
	// Trouble, if set, is called with problems that do not end Logs, such as a log that
	// cannot be read.
	Trouble func(text string)
}

// Logs calls line with the log lines of the pods of an environment, not concurrently.
// Existing lines are sorted by time; with Follow, new lines follow as they are printed. The
// values of the Secrets of its namespaces are redacted (D4), if the user may read the Secrets;
// with Follow, this includes Secrets that are created or changed in the meantime.
//
// A node that does not answer does not block other nodes' logs: those are passed to line
// before the error is returned. With Follow, the problem is reported and retried instead, and
// a log continues after its last line.
func (ins *Inspector) Logs(ctx context.Context, env *runtime.Environment, opts LogOptions, line func(LogLine)) error {
	namespaces := env.AllNamespaces()
	show := newLogShow(ins.newHiding(namespaces, opts.Services...), line, opts.Trouble)
	if err := show.hide.fresh(ctx, show.began); err != nil {
		show.unhidden(err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	found := make([]pastLogs, len(namespaces))
	errs := make([]error, len(namespaces))
	var wg sync.WaitGroup
	for i, namespace := range namespaces {
		wg.Go(func() {
			if errs[i] = ins.logsIn(ctx, env, namespace, opts, show, &found[i]); errs[i] != nil {
				stop(errs[i])
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var all pastLogs
	for _, of := range found {
		all.lines, all.missing, all.total = append(all.lines, of.lines...), append(all.missing, of.missing...), all.total+of.total
	}
	slices.SortStableFunc(all.lines, func(a, b LogLine) int { return a.Time.Compare(b.Time) })
	for _, line := range all.lines {
		show.give(ctx, line)
	}
	return ins.unreadError(ctx, all.missing, all.total)
}

// logsIn follows the logs of one namespace until ctx is done or, without Follow, adds the
// existing lines to past.
func (ins *Inspector) logsIn(ctx context.Context, env *runtime.Environment, namespace string, opts LogOptions, show *logShow, past *pastLogs) error {
	is, err := ins.members(ctx, env, namespace)
	if err != nil {
		return err
	}
	l := ins.newLogs(namespace, show)
	l.opts, l.shown = opts, is.has
	if opts.Services != nil {
		l.services = make(map[string]*followed)
		for _, name := range opts.Services {
			l.services[name] = nil
		}
	}
	list, err := ins.cluster.Typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	switch {
	case err != nil:
		return ins.cluster.Explain(ctx, err)
	case !opts.Follow:
		*past = l.all(ctx, list.Items)
		return nil
	}
	l.first = begun(list.Items)
	return l.follow(ctx)
}

// A logShow passes on the lines and the problems of the logs of several namespaces.
type logShow struct {
	hide  *hiding
	began time.Time

	mu       sync.Mutex // serializes the calls of line and trouble
	line     func(LogLine)
	trouble  func(text string) // may be nil
	reported map[string]bool   // what a problem was reported for: nodes, and pod/container
}

func newLogShow(hide *hiding, line func(LogLine), trouble func(string)) *logShow {
	return &logShow{hide: hide, began: time.Now(), line: line, trouble: trouble, reported: make(map[string]bool)}
}

// pastLogs are existing lines, and the logs that could not be read.
type pastLogs struct {
	lines   []LogLine
	missing []unread
	total   int
}

// logs reads the logs of containers.
type logs struct {
	*logShow
	inspector *Inspector
	namespace string
	opts      LogOptions
	shown     func(release string) bool
	first     map[containerKey]bool // the containers that had started when following began
	opening   chan struct{}         // a token for each log that is being requested

	of       sync.Mutex           // guards the fields below
	services map[string]*followed // nil: all services that do not belong to another environment
	away     map[string]time.Time // nodes that do not answer, and when to try one log of each again
}

func (ins *Inspector) newLogs(namespace string, show *logShow) *logs {
	return &logs{
		logShow: show, inspector: ins, namespace: namespace, shown: func(string) bool { return true },
		away: make(map[string]time.Time), opening: make(chan struct{}, logsAtOnce),
	}
}

// logsAtOnce is the maximum number of logs that are requested concurrently. Each is a
// connection from the API server to a node.
const logsAtOnce = 20

// A containerKey identifies a container of a pod.
type containerKey struct{ uid, name string }

// begun returns the containers that have started.
func begun(pods []corev1.Pod) map[containerKey]bool {
	all := make(map[containerKey]bool)
	for i := range pods {
		for _, c := range containersOf(&pods[i]) {
			all[containerKey{string(pods[i].UID), c}] = true
		}
	}
	return all
}

// wants reports whether the logs of a pod are requested, and returns its service.
func (l *logs) wants(p *corev1.Pod) (service string, ok bool) {
	service = serviceOf(p)
	if service == "" || !l.shown(service) {
		return service, false
	}
	return service, l.follows(service)
}

// follows reports whether the logs of a service are followed.
func (l *logs) follows(service string) bool {
	l.of.Lock()
	defer l.of.Unlock()
	_, ok := l.services[service]
	return ok || l.services == nil
}

// serviceOf returns the service that a pod belongs to, according to its labels.
func serviceOf(p *corev1.Pod) string { return p.Labels[observe.LabelInstance] }

// from returns where to begin in a log that existed when reading began.
func (l *logs) from() begin {
	b := begin{tail: int64(l.opts.Tail)}
	if l.opts.Since > 0 {
		b.since = l.began.Add(-l.opts.Since)
	}
	return b
}

// reader returns a reader for the log of a container.
func (l *logs) reader(p *corev1.Pod, container, service string, give func(LogLine)) *logReader {
	return &logReader{
		open: func(ctx context.Context, opts *corev1.PodLogOptions) (io.ReadCloser, error) {
			opts.Container, opts.Timestamps = container, true
			return l.inspector.cluster.Watching.CoreV1().Pods(p.Namespace).GetLogs(p.Name, opts).Stream(ctx)
		},
		line: LogLine{Service: service, Pod: p.Name, Container: container},
		give: give,
	}
}

// all returns the existing lines.
func (l *logs) all(ctx context.Context, pods []corev1.Pod) pastLogs {
	var mu sync.Mutex
	var past pastLogs
	noWay := make(map[string]error) // errors of nodes that cannot be reached
	var wg sync.WaitGroup
	read := func(p *corev1.Pod, container, service string) error {
		mu.Lock()
		err := noWay[p.Spec.NodeName]
		mu.Unlock()
		if err != nil { // do not try again, because that takes half a minute
			return err
		}
		r := l.reader(p, container, service, func(line LogLine) {
			mu.Lock()
			defer mu.Unlock()
			past.lines = append(past.lines, line)
		})
		_, err = r.read(ctx, l.from(), corev1.PodLogOptions{})
		r.finish()
		return err
	}
	for i := range pods {
		p := &pods[i]
		service, ok := l.wants(p)
		if !ok {
			continue
		}
		for _, c := range containersOf(p) {
			past.total++
			wg.Go(func() {
				l.opening <- struct{}{}
				defer func() { <-l.opening }()
				u := unread{p.Spec.NodeName, p.Name, c, read(p, c, service)}
				if u.err == nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if u.gone() {
					l.report(u.Error())
					return
				}
				past.missing = append(past.missing, u)
				if u.noWay() {
					noWay[u.node] = u.err
				}
			})
		}
	}
	wg.Wait()
	return past
}

// containersOf returns the containers of a pod that have started.
func containersOf(p *corev1.Pod) []string {
	var names []string
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil {
			names = append(names, s.Name)
		}
	}
	return names
}

// give passes a line to the caller, with the values of Secrets redacted.
func (l *logShow) give(ctx context.Context, line LogLine) {
	line.Text = l.hide.text(ctx, line.Text)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line(line)
}

// unreadable reports why a log cannot be followed: once for each log, node or cluster, depending
// on the cause.
func (l *logShow) unreadable(u unread) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, text := u.pod+"/"+u.container, u.Error()
	if observe.Unreachable(u.err) {
		of, text = "", fmt.Sprintf("logs cannot be followed until the cluster answers: %v", u.err)
	} else if u.ofNode() != "" {
		of, text = u.node, "a log cannot be followed until its node answers: that "+fromNode([]unread{u})
	}
	if !l.reported[of] {
		l.reported[of] = true
		l.report(text)
	}
}

// pass and passTrouble pass on what another logShow gives, already redacted.
func (l *logShow) pass(line LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line(line)
}

func (l *logShow) passTrouble(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report(text)
}

// unhidden reports once that values of Secrets are not redacted.
func (l *logShow) unhidden(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const key = "secrets/" // no pod has that name
	if !l.reported[key] {
		l.reported[key] = true
		l.report(fmt.Sprintf("values of secrets are not hidden, as they may not be read: %v", err))
	}
}

// report reports a problem. The caller holds mu.
func (l *logShow) report(text string) {
	if l.trouble != nil {
		l.trouble(text)
	}
}
