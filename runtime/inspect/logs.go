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
// values of the namespace's Secrets are redacted (D4), if the user may read the Secrets; with
// Follow, this includes Secrets that are created or changed in the meantime.
//
// A node that does not answer does not block other nodes' logs: those are passed to line
// before the error is returned. With Follow, the problem is reported and retried instead, and
// a log continues after its last line.
func (ins *Inspector) Logs(ctx context.Context, key runtime.EnvironmentKey, opts LogOptions, line func(LogLine)) error {
	others, err := ins.cluster.OthersIn(ctx, key)
	if err != nil {
		return err
	}
	l := ins.newLogs(key.Namespace(), line, opts.Trouble, opts.Services...)
	l.opts, l.others = opts, others
	if opts.Services != nil {
		l.services = make(map[string]*followed)
		for _, name := range opts.Services {
			l.services[name] = nil
		}
	}
	if err := l.hide.fresh(ctx, l.began); err != nil {
		l.shown(err)
	}
	list, err := ins.cluster.Typed.CoreV1().Pods(l.namespace).List(ctx, metav1.ListOptions{})
	switch {
	case err != nil:
		return ins.cluster.Explain(ctx, err)
	case !opts.Follow:
		return l.all(ctx, list.Items)
	}
	l.first = begun(list.Items)
	return l.follow(ctx)
}

// logs reads the logs of containers.
type logs struct {
	inspector *Inspector
	namespace string
	opts      LogOptions
	others    []string // releases of other environments
	began     time.Time
	first     map[containerKey]bool // the containers that had started when following began
	hide      *hiding
	opening   chan struct{} // a token for each log that is being requested

	mu   sync.Mutex // serializes the calls of line and Trouble
	line func(LogLine)
	told map[string]bool // what a problem was reported for: nodes, and pod/container

	of       sync.Mutex           // guards the fields below
	services map[string]*followed // nil: all services that do not belong to another environment
	away     map[string]time.Time // nodes that do not answer, and when to try one log of each again
}

func (ins *Inspector) newLogs(namespace string, line func(LogLine), trouble func(string), names ...string) *logs {
	l := &logs{
		inspector: ins, namespace: namespace, began: time.Now(), line: line, told: make(map[string]bool), away: make(map[string]time.Time),
		hide: ins.newHiding(namespace, names...), opening: make(chan struct{}, logsAtOnce),
	}
	l.opts.Trouble = trouble
	return l
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
	if service == "" || slices.Contains(l.others, service) {
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

// all passes the existing lines to give.
func (l *logs) all(ctx context.Context, pods []corev1.Pod) error {
	var mu sync.Mutex
	var lines []LogLine
	var missing []unread
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
			lines = append(lines, line)
		})
		_, err = r.read(ctx, l.from(), corev1.PodLogOptions{})
		r.finish()
		return err
	}
	total := 0
	for i := range pods {
		p := &pods[i]
		service, ok := l.wants(p)
		if !ok {
			continue
		}
		for _, c := range containersOf(p) {
			total++
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
					l.tell(u.Error())
					return
				}
				missing = append(missing, u)
				if u.noWay() {
					noWay[u.node] = u.err
				}
			})
		}
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	slices.SortStableFunc(lines, func(a, b LogLine) int { return a.Time.Compare(b.Time) })
	for _, line := range lines {
		l.give(ctx, line)
	}
	return l.inspector.unreadError(ctx, missing, total)
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
func (l *logs) give(ctx context.Context, line LogLine) {
	line.Text = l.hide.text(ctx, line.Text)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line(line)
}

// trouble reports why a log cannot be followed: once for each log, node or cluster, depending
// on the cause.
func (l *logs) trouble(u unread) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, text := u.pod+"/"+u.container, u.Error()
	if observe.Unreachable(u.err) {
		of, text = "", fmt.Sprintf("logs cannot be followed until the cluster answers: %v", u.err)
	} else if u.ofNode() != "" {
		of, text = u.node, "a log cannot be followed until its node answers: that "+fromNode([]unread{u})
	}
	if !l.told[of] {
		l.told[of] = true
		l.tell(text)
	}
}

// shown reports once that values of Secrets are not redacted.
func (l *logs) shown(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const key = "secrets/" // no pod has that name
	if !l.told[key] {
		l.told[key] = true
		l.tell(fmt.Sprintf("values of secrets are not hidden, as they may not be read: %v", err))
	}
}

// tell reports a problem. The caller holds mu.
func (l *logs) tell(text string) {
	if l.opts.Trouble != nil {
		l.opts.Trouble(text)
	}
}
