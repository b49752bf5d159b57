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

// A LogLine is a line that a container has printed.
type LogLine struct {
	Service   string    `json:"service"`
	Pod       string    `json:"pod"`
	Container string    `json:"container"`
	Time      time.Time `json:"time"` // when it was printed, by the clock of its node
	Text      string    `json:"text"` // without the line's end
}

// LogOptions say which lines Logs gives.
type LogOptions struct {
	Services []string      // nil: of all that do not belong to another environment
	Follow   bool          // go on until the context ends, also with pods that are yet to come
	Since    time.Duration // not older than that; 0: all that is kept
	// Tail is how many of the lines that there are come at most of each container; 0:
	// all. What begins later is not cut.
	Tail int
	// Trouble is told of what keeps Logs from giving all, as it goes on with the
	// rest; nil: nobody is.
	Trouble func(text string)
}

// Logs hands the lines of the pods of an environment to line, one after the other.
// Those that there are come ordered by time; with Follow, those that follow come
// as they are printed. The values of the namespace's Secrets are not in them (D4),
// if they may be read; with Follow, neither are those of Secrets that are created or
// changed meanwhile.
//
// A node that does not answer keeps nobody from the lines of others: these are
// given before the error. With Follow that is no error, but told and tried again: a
// log goes on after the line that was given last.
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
	first     map[containerKey]bool // what had begun by then, if it is followed
	hide      *hiding
	opening   chan struct{} // a token for each log that is being asked for

	mu   sync.Mutex // makes lines and troubles come one after the other
	line func(LogLine)
	told map[string]bool // whose trouble was told: nodes, and pod/container

	of       sync.Mutex           // guards what follows
	services map[string]*followed // nil: all that do not belong to another environment
	away     map[string]time.Time // nodes that do not answer, and when one log of each is tried again
}

func (ins *Inspector) newLogs(namespace string, line func(LogLine), trouble func(string), names ...string) *logs {
	l := &logs{
		inspector: ins, namespace: namespace, began: time.Now(), line: line, told: make(map[string]bool), away: make(map[string]time.Time),
		hide: ins.newHiding(namespace, names...), opening: make(chan struct{}, logsAtOnce),
	}
	l.opts.Trouble = trouble
	return l
}

// logsAtOnce bounds how many logs are asked for at the same time. Each is a
// connection of the API server to a node.
const logsAtOnce = 20

// A containerKey tells the containers of all pods apart.
type containerKey struct{ uid, name string }

// begun returns the containers that have begun.
func begun(pods []corev1.Pod) map[containerKey]bool {
	all := make(map[containerKey]bool)
	for i := range pods {
		for _, c := range containersOf(&pods[i]) {
			all[containerKey{string(pods[i].UID), c}] = true
		}
	}
	return all
}

// wants reports whether the lines of a pod are asked for, and of which service it is.
func (l *logs) wants(p *corev1.Pod) (service string, ok bool) {
	service = serviceOf(p)
	if service == "" || slices.Contains(l.others, service) {
		return service, false
	}
	l.of.Lock()
	defer l.of.Unlock()
	_, ok = l.services[service]
	return service, ok || l.services == nil
}

// serviceOf returns the service that a pod is of, as its labels tell.
func serviceOf(p *corev1.Pod) string { return p.Labels[observe.LabelInstance] }

// from is where to begin in a log that there was when reading began.
func (l *logs) from() begin {
	b := begin{tail: int64(l.opts.Tail)}
	if l.opts.Since > 0 {
		b.since = l.began.Add(-l.opts.Since)
	}
	return b
}

// reader returns what reads the log of a container.
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

// all gives the lines that there are now.
func (l *logs) all(ctx context.Context, pods []corev1.Pod) error {
	var mu sync.Mutex
	var lines []LogLine
	var missing []unread
	noWay := make(map[string]error) // to nodes
	var wg sync.WaitGroup
	read := func(p *corev1.Pod, container, service string) error {
		mu.Lock()
		err := noWay[p.Spec.NodeName]
		mu.Unlock()
		if err != nil { // to find that out takes half a minute
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

// containersOf returns the containers of a pod that have begun.
func containersOf(p *corev1.Pod) []string {
	var names []string
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil {
			names = append(names, s.Name)
		}
	}
	return names
}

// give hands a line on, without the values of Secrets.
func (l *logs) give(ctx context.Context, line LogLine) {
	line.Text = l.hide.text(ctx, line.Text)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line(line)
}

// trouble tells why a log cannot be followed: once, of a node once for all its logs,
// and of the cluster once for all logs.
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

// shown tells that values of Secrets are shown, once.
func (l *logs) shown(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const key = "secrets/" // no pod has that name
	if !l.told[key] {
		l.told[key] = true
		l.tell(fmt.Sprintf("values of secrets are not hidden, as they may not be read: %v", err))
	}
}

// tell tells a trouble. It is called with the lock.
func (l *logs) tell(text string) {
	if l.opts.Trouble != nil {
		l.opts.Trouble(text)
	}
}
