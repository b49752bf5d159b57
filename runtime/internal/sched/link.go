package sched

import (
	"errors"
	"fmt"
	"strings"
)

// link creates the nodes of tasks, with their edges in both directions, or returns
// an error if they cannot be run.
func link(tasks []*Task, opts Options) ([]node, error) {
	for class, limit := range opts.Limits {
		if limit < 1 {
			return nil, fmt.Errorf("class %d has %d slots; none of its tasks could run", class, limit)
		}
	}
	index := make(map[*Task]int, len(tasks))
	for i, t := range tasks {
		if _, twice := index[t]; twice {
			return nil, fmt.Errorf("task %s is listed twice", t.Name)
		}
		if t.Class >= len(opts.Limits) {
			return nil, fmt.Errorf("task %s has class %d, which has no limit", t.Name, t.Class)
		}
		index[t] = i
	}
	nodes := make([]node, len(tasks))
	for i, t := range tasks {
		n := &nodes[i]
		n.Task, n.index, n.class = t, i, t.Class
		if n.class < 0 {
			n.class = len(opts.Limits)
		}
		n.pending = len(t.Needs) + len(t.After)
		for k := range n.pending {
			var d *Task
			need := k < len(t.Needs)
			if need {
				d = t.Needs[k]
			} else {
				d = t.After[k-len(t.Needs)]
			}
			j, ok := index[d]
			if !ok {
				return nil, fmt.Errorf("task %s waits for %s, which is not among the tasks", t.Name, d.Name)
			}
			nodes[j].users = append(nodes[j].users, use{i, need})
		}
	}
	return nodes, acyclic(nodes)
}

// acyclic returns an error that shows a cycle, if there is any.
func acyclic(nodes []node) error {
	pending := make([]int, len(nodes))
	var free []int
	for i := range nodes {
		if pending[i] = nodes[i].pending; pending[i] == 0 {
			free = append(free, i)
		}
	}
	left := len(nodes)
	for ; len(free) > 0; left-- {
		i := free[len(free)-1]
		free = free[:len(free)-1]
		for _, u := range nodes[i].users {
			if pending[u.index]--; pending[u.index] == 0 {
				free = append(free, u.index)
			}
		}
	}
	if left == 0 {
		return nil
	}
	return errors.New("tasks wait for each other: " + strings.Join(cycle(nodes, pending), " -> "))
}

// cycle returns the names along one cycle of the nodes that are still pending.
// Each of them waits for another one of them, so following the dependencies
// ends in a cycle.
func cycle(nodes []node, pending []int) []string {
	waitsFor := make(map[*Task]*Task) // one pending dependency of each
	for i := range nodes {
		if pending[i] == 0 {
			continue
		}
		for _, u := range nodes[i].users {
			if pending[u.index] > 0 {
				waitsFor[nodes[u.index].Task] = nodes[i].Task
			}
		}
	}
	var t *Task
	for i := range nodes {
		if pending[i] > 0 {
			t = nodes[i].Task
			break
		}
	}
	seen := make(map[*Task]int)
	var names []string
	for {
		if at, ok := seen[t]; ok {
			return append(names[at:], t.Name)
		}
		seen[t] = len(names)
		names = append(names, t.Name)
		t = waitsFor[t]
	}
}
