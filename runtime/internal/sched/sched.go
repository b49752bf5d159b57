// Package sched runs a graph of tasks with bounded parallelism.
//
// The graph defines the order: an edge of Needs waits for success, an edge
// of After waits for an end of any kind. The tasks of a class share a number of
// slots. While a task of a class is ready, no slot of that class is idle. Among
// ready tasks, the one with the lowest priority number starts first. A task that only
// waits can lend its slot to another one ([Leave] and [Return]).
//
// The goroutine that calls Run owns all state and starts one goroutine for each
// running task. It waits for what tasks report on one channel and for the context, so
// that there are no locks and nothing polls. The ready tasks of each class are a
// heap: starting one of n costs log n, not a sort.
package sched

import (
	"container/heap"
	"context"
	"math"
	"slices"
)

// A Task is one node of the graph. Run does not change it.
type Task struct {
	Name     string  // for errors
	Class    int     // index into Options.Limits; negative: unlimited
	Priority int     // among ready tasks of a class, the lowest starts first; equal ones start in the order given
	Wave     int     // see Options.KeepGoing; not negative
	Needs    []*Task // must have succeeded
	After    []*Task // must have ended in any way; a task that cannot run because a needed task failed has ended
	// Do is the work; nil for a barrier, which takes no slot and no time. Its
	// context is cancelled with Run's, and is the one to call [Leave] and [Return] with. A
	// panic in Do is returned as a [*PanicError].
	Do func(context.Context) error
}

// A State is how a task ended.
type State string

// How a task can end.
const (
	NotRun State = "not run" // it never started
	Done   State = "done"
	Failed State = "failed"
)

// A Result is the outcome of one task.
type Result struct {
	State State
	Err   error // set if Failed
}

// Options adjust Run.
type Options struct {
	// Limits are the numbers of slots, by class; each is at least 1.
	Limits []int
	// KeepGoing allows tasks to start after a task has failed, if they do not
	// need the failed task and belong to its wave or an earlier one. Without it,
	// nothing starts after a failure.
	KeepGoing bool
}

// Run runs the tasks and returns when all started tasks have ended, with
// the result of tasks[i] in results[i]. Once ctx is done, nothing new starts, and
// Run waits for running tasks. The error is not about the work: it means that the
// tasks cannot be run (because of a cycle or a missing task), and that nothing was
// started.
func Run(ctx context.Context, tasks []*Task, opts Options) (results []Result, err error) {
	nodes, err := link(tasks, opts)
	if err != nil {
		return nil, err
	}
	r := &run{
		nodes:   nodes,
		ready:   make([]queue, len(opts.Limits)+1),
		free:    make([]int, len(opts.Limits)+1),
		away:    make([]int, len(opts.Limits)+1),
		waiting: make([][]returning, len(opts.Limits)+1),
		reports: make(chan report),
		keep:    opts.KeepGoing,
		maxWave: math.MaxInt,
	}
	copy(r.free, opts.Limits)
	r.free[len(opts.Limits)] = math.MaxInt // class -1
	r.limits = slices.Clone(r.free)
	var settled []int // barriers without dependencies
	for i := range nodes {
		if n := &nodes[i]; n.pending == 0 && r.settle(n) {
			settled = append(settled, i)
		}
	}
	r.release(settled...)
	r.loop(ctx)
	results = make([]Result, len(tasks))
	for i := range nodes {
		if results[i] = nodes[i].result; results[i].State == "" {
			results[i].State = NotRun
		}
	}
	return results, nil
}

// A node is the state of a task in a run.
type node struct {
	*Task
	index   int
	class   int   // index into run.ready and run.free
	pending int   // edges to tasks that have not ended
	broken  bool  // a needed task did not succeed
	users   []use // the reversed edges
	away    bool  // it runs without a slot
	result  Result
}

// A use is an edge to a waiting node.
type use struct {
	index int
	need  bool
}

// A report is the message of a task's goroutine: that it has ended, that it gives its slot back, or
// that it wants one again.
type report struct {
	index int
	what  kind
	err   error         // of a task that has ended
	taken chan struct{} // is closed when a task that wants a slot has it
}

// A kind is what a report means.
type kind int

const (
	ended kind = iota
	left
	wants
)

// A returning is a task that wants a slot again.
type returning struct {
	node  *node
	taken chan struct{} // is closed when it has the slot
}

// A run is the state of one Run. Only the goroutine of Run touches it.
type run struct {
	nodes   []node
	ready   []queue       // by class
	limits  []int         // slots, by class
	free    []int         // those that no task has, by class
	away    []int         // tasks that run without a slot, by class
	waiting [][]returning // tasks that want a slot again, in order, by class
	reports chan report
	running int
	keep    bool
	maxWave int // the last wave whose tasks may start; -1: none
}

// loop starts ready tasks and handles ended ones, until nothing runs.
func (r *run) loop(ctx context.Context) {
	cancelled := ctx.Done()
	if ctx.Err() != nil {
		r.maxWave = -1
	}
	for {
		r.start(ctx)
		if r.running == 0 {
			return
		}
		select {
		case m := <-r.reports:
			// An end and the cancellation that caused it may arrive together:
			// nothing must start in between.
			if ctx.Err() != nil {
				r.maxWave = -1
			}
			n := &r.nodes[m.index]
			switch m.what {
			case ended:
				r.end(n, m.err)
			case left:
				r.leave(n)
			case wants:
				if n.away {
					r.waiting[n.class] = append(r.waiting[n.class], returning{n, m.taken})
				} else {
					close(m.taken)
				}
			}
		case <-cancelled:
			cancelled, r.maxWave = nil, -1
		}
	}
}

// start fills the free slots, first with tasks that want theirs again.
func (r *run) start(ctx context.Context) {
	for class := range r.ready {
		for r.free[class] > 0 && len(r.waiting[class]) > 0 {
			first := r.waiting[class][0]
			r.waiting[class] = r.waiting[class][1:]
			r.enter(first.node)
			close(first.taken)
		}
		q := &r.ready[class]
		for r.free[class] > 0 && len(*q) > 0 && r.maxWave >= 0 {
			n := heap.Pop(q).(*node)
			if n.Wave > r.maxWave {
				continue // dropped: waves are never allowed again
			}
			r.free[class]--
			r.running++
			go work(ctx, n.Task, n.index, r.reports)
		}
	}
}

// maxAway is how many tasks of a class may run without a slot, for each slot of the class. Without
// this bound, all tasks of a class could have started.
const maxAway = 3

// leave frees the slot of a running task, unless maxAway is reached.
func (r *run) leave(n *node) {
	if n.away || r.away[n.class]/maxAway >= r.limits[n.class] {
		return
	}
	n.away = true
	r.away[n.class]++
	r.free[n.class]++
}

// enter gives a running task that has no slot one again.
func (r *run) enter(n *node) {
	n.away = false
	r.away[n.class]--
	r.free[n.class]--
}

// end handles the end of a running task.
func (r *run) end(n *node, err error) {
	r.running--
	if n.away {
		r.away[n.class]--
	} else {
		r.free[n.class]++
	}
	n.result = Result{State: Done}
	if err != nil {
		n.result = Result{Failed, err}
		if r.keep {
			r.maxWave = min(r.maxWave, n.Wave)
		} else {
			r.maxWave = -1
		}
	}
	r.release(n.index)
}

// settle handles a node that no longer waits: it either has its result immediately,
// or is queued.
func (r *run) settle(n *node) (ended bool) {
	switch {
	case n.broken:
		n.result = Result{State: NotRun}
	case n.Do == nil:
		n.result = Result{State: Done}
	default:
		heap.Push(&r.ready[n.class], n)
		return false
	}
	return true
}

// release informs the users of nodes that have their results. Chains of
// barriers may be long, so it uses an explicit stack.
func (r *run) release(stack ...int) {
	for len(stack) > 0 {
		n := &r.nodes[stack[len(stack)-1]]
		stack = stack[:len(stack)-1]
		for _, u := range n.users {
			user := &r.nodes[u.index]
			user.pending--
			user.broken = user.broken || u.need && n.result.State != Done
			if user.pending == 0 && r.settle(user) {
				stack = append(stack, u.index)
			}
		}
	}
}

// A queue is a heap of ready nodes.
type queue []*node

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].Priority != q[j].Priority {
		return q[i].Priority < q[j].Priority
	}
	return q[i].index < q[j].index
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*node)) }
func (q *queue) Pop() any {
	old := *q
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return n
}
