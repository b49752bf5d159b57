package deploy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/runtime"
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
	Tail     int           // of each container at most so many of the lines that there are; 0: all
	// Trouble is told of what keeps Logs from giving all, as it goes on with the
	// rest; nil: nobody is.
	Trouble func(text string)
}

// Logs hands the lines of the pods of an environment to line, one after the other.
// Those that there are come ordered by time; with Follow, those that follow come
// as they are printed. The values of the namespace's secrets are not in them (D4),
// if they may be read.
//
// A node that does not answer keeps nobody from the lines of others: these are
// given before the error. With Follow that is no error, but told and tried again.
func (d *Deployer) Logs(ctx context.Context, key runtime.EnvironmentKey, opts LogOptions, line func(LogLine)) error {
	namespace := key.Namespace()
	others, err := d.othersIn(ctx, key)
	if err != nil {
		return err
	}
	hide, err := d.hider(ctx, namespace, opts.Services...)
	if err != nil && opts.Trouble != nil {
		opts.Trouble(fmt.Sprintf("values of secrets are not hidden, as they may not be read: %v", err))
	}
	if opts.Trouble == nil {
		opts.Trouble = func(string) {}
	}
	l := &logs{d: d, opts: opts, others: others, began: time.Now(), told: make(map[string]bool), line: func(l LogLine) {
		l.Text = hide(l.Text)
		line(l)
	}}
	if !opts.Follow {
		list, err := d.cluster.typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return d.explain(ctx, err)
		}
		return l.all(ctx, list.Items)
	}
	return l.follow(ctx, namespace)
}

// logs reads the logs of containers.
type logs struct {
	d      *Deployer
	opts   LogOptions
	others []string // releases of other environments
	began  time.Time

	mu   sync.Mutex // makes lines and troubles come one after the other
	line func(LogLine)
	told map[string]bool // whose trouble was told: nodes, and pod/container
}

// wants reports whether the lines of a pod are asked for, and of which service it is.
func (l *logs) wants(p *corev1.Pod) (service string, ok bool) {
	service = serviceOf(p)
	return service, service != "" && !slices.Contains(l.others, service) && (l.opts.Services == nil || slices.Contains(l.opts.Services, service))
}

// serviceOf returns the service that a pod is of, as its labels tell.
func serviceOf(p *corev1.Pod) string { return p.Labels[labelInstance] }

// all gives the lines that there are now.
func (l *logs) all(ctx context.Context, pods []corev1.Pod) error {
	var mu sync.Mutex
	var lines []LogLine
	var missing []unread
	noWay := make(map[string]error) // to nodes
	var wg sync.WaitGroup
	limit := make(chan struct{}, logsAtOnce)
	read := func(p *corev1.Pod, container, service string) error {
		mu.Lock()
		err := noWay[p.Spec.NodeName]
		mu.Unlock()
		if err != nil { // to find that out takes half a minute
			return err
		}
		return l.stream(ctx, p, container, service, l.from(), func(line LogLine) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, line)
		})
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
				limit <- struct{}{}
				defer func() { <-limit }()
				u := unread{p.Spec.NodeName, p.Name, c, read(p, c, service)}
				if u.err == nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if u.gone() {
					l.opts.Trouble(u.Error())
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
		l.line(line)
	}
	return l.d.unreadError(ctx, missing, total)
}

// logsAtOnce bounds how many logs are read at the same time. Each is a
// connection of the API server to a node.
const logsAtOnce = 20

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

// follow gives lines until ctx ends. Which pods there are it learns from a watch.
func (l *logs) follow(ctx context.Context, namespace string) error {
	changes := make(chan struct{}, 1)
	v, done := l.d.views.of(l.d.cluster, namespace, []string{"Pod"})
	defer done()
	defer v.read(changes)()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	seen := make(map[types.UID]map[string]taken)
	for {
		if err := v.err("Pod"); err != nil && !unreachable(err) {
			return l.d.explain(ctx, err)
		}
		for _, obj := range v.index("Pod").List() {
			p, ok := obj.(*corev1.Pod)
			if !ok {
				continue
			}
			service, ok := l.wants(p)
			if !ok {
				continue
			}
			if seen[p.UID] == nil {
				seen[p.UID] = make(map[string]taken)
			}
			for _, c := range containersOf(p) {
				restarts := restartsOf(p, c)
				last, known := seen[p.UID][c]
				if known && last.restarts == restarts {
					continue
				}
				from := l.from()
				if known {
					from = begin{}
					last.over()
				}
				latest, over := context.WithCancel(ctx)
				seen[p.UID][c] = taken{restarts, over}
				wg.Go(func() { l.followOne(ctx, latest, p, c, service, from) })
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changes:
		}
	}
}

// A taken is a container whose log is followed.
type taken struct {
	restarts int32  // when it was taken up
	over     func() // it was taken up anew
}

func restartsOf(p *corev1.Pod, container string) int32 {
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if s.Name == container {
			return s.RestartCount
		}
	}
	return 0
}

// followOne gives the lines of one container to its end. Who does not answer is
// asked again, while nobody else has taken up the container anew.
func (l *logs) followOne(ctx, latest context.Context, p *corev1.Pod, container, service string, from begin) {
	for {
		u := unread{p.Spec.NodeName, p.Name, container, l.stream(ctx, p, container, service, from, func(line LogLine) {
			if !line.Time.IsZero() {
				from = begin{after: line.Time}
			}
			l.one(line)
		})}
		if u.err == nil || ctx.Err() != nil {
			return
		}
		l.trouble(u)
		if u.refused() {
			return
		}
		select {
		case <-time.After(askAgain):
		case <-latest.Done():
			return
		}
	}
}

// askAgain is how often who does not answer is asked for a log that is followed.
const askAgain = 5 * time.Second

// trouble tells why a log cannot be followed: once, and of a node once for all.
func (l *logs) trouble(u unread) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, text := u.pod+"/"+u.container, u.Error()
	if u.ofNode() != "" {
		of, text = u.node, "a log cannot be followed until its node answers: that "+fromNode([]unread{u})
	}
	if !l.told[of] {
		l.told[of] = true
		l.opts.Trouble(text)
	}
}

func (l *logs) one(line LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line(line)
}

// A begin says where to begin in the log of a container; the zero one at its
// start, as of a container that was started anew.
type begin struct {
	since time.Time // not earlier
	tail  int64     // with so many of the lines that there are; 0: all
	after time.Time // after the line of that time, which was given
}

// from is where to begin in a log of which nothing was read yet.
func (l *logs) from() begin {
	b := begin{tail: int64(l.opts.Tail)}
	if l.opts.Since > 0 {
		b.since = l.began.Add(-l.opts.Since)
	}
	return b
}

// stream reads the log of one container to its end.
func (l *logs) stream(ctx context.Context, p *corev1.Pod, container, service string, from begin, give func(LogLine)) error {
	opts := &corev1.PodLogOptions{Container: container, Timestamps: true, Follow: l.opts.Follow}
	if from.tail > 0 {
		opts.TailLines = &from.tail
	}
	since := from.since
	if !from.after.IsZero() {
		since = from.after // in whole seconds
	}
	if !since.IsZero() {
		opts.SinceTime = &metav1.Time{Time: since}
	}
	stream, err := l.d.cluster.watching.CoreV1().Pods(p.Namespace).GetLogs(p.Name, opts).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	r := bufio.NewReaderSize(stream, longestLine)
	for {
		data, err := r.ReadSlice('\n')
		if len(data) > 0 {
			line := logLine(service, p.Name, container, string(data))
			if from.after.IsZero() || line.Time.IsZero() || line.Time.After(from.after) {
				give(line)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, bufio.ErrBufferFull): // one that is cut into several
		case err != nil:
			return err
		}
	}
}

// longestLine is after how many bytes a line is cut.
const longestLine = 64 << 10

// logLine takes the time off a line.
func logLine(service, pod, container, text string) LogLine {
	line := LogLine{Service: service, Pod: pod, Container: container}
	stamp, rest, _ := strings.Cut(text, " ")
	if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
		line.Time, text = at, rest
	}
	line.Text = strings.ToValidUTF8(strings.TrimRight(text, "\r\n"), "\uFFFD")
	return line
}

// hider returns what takes the values of the namespace's secrets out of a text,
// and leaves those names in it.
func (d *Deployer) hider(ctx context.Context, namespace string, names ...string) (func(string) string, error) {
	list, err := d.cluster.typed.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner!=helm"})
	if err != nil {
		return func(s string) string { return s }, d.explain(ctx, err)
	}
	var values redact.Values
	names = append(names, namespace)
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
		_, credentials := list.Items[i].Data["password"]
		for key, v := range list.Items[i].Data {
			if credentials && redact.Public(key) {
				continue
			}
			values.Add(string(v))
		}
	}
	return values.Except(names...), nil
}
