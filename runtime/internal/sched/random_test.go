package sched

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// A trial is a random graph, with how long each task takes and which fail.
type trial struct {
	tasks  []*Task
	took   []time.Duration // no two sums of them are equal, so that nothing happens at the same time
	fails  []bool
	opts   Options
	cancel time.Duration // when the context is cancelled; 0: never
}

func newTrial(seed uint64) *trial {
	r := rand.New(rand.NewPCG(seed, 1))
	tr := &trial{opts: Options{Limits: []int{1 + r.IntN(4), 1 + r.IntN(4)}, KeepGoing: r.IntN(2) == 0}}
	failing, n := r.IntN(3)*7, 1+r.IntN(40)
	for i := range n {
		x := &Task{Name: fmt.Sprint(i), Class: r.IntN(3) - 1, Priority: r.IntN(3), Wave: r.IntN(3)}
		for _, d := range tr.tasks {
			switch r.IntN(12) {
			case 0:
				x.Needs = append(x.Needs, d)
			case 1:
				x.After = append(x.After, d)
			}
		}
		tr.tasks = append(tr.tasks, x)
		tr.took = append(tr.took, time.Duration(1+r.Int64N(int64(10*time.Second))))
		tr.fails = append(tr.fails, failing > 0 && r.IntN(failing) == 0)
		if r.IntN(8) == 0 {
			x.Class, tr.fails[i] = -1, false
			tr.took[i] = 0 // a barrier
		}
	}
	if r.IntN(4) == 0 {
		tr.cancel = time.Duration(1 + r.Int64N(int64(60*time.Second)))
	}
	// The order in which tasks are given is not an order of the graph.
	r.Shuffle(n, func(i, j int) {
		tr.tasks[i], tr.tasks[j] = tr.tasks[j], tr.tasks[i]
		tr.took[i], tr.took[j] = tr.took[j], tr.took[i]
		tr.fails[i], tr.fails[j] = tr.fails[j], tr.fails[i]
	})
	return tr
}

// An outcome is when a task started and how it ended.
type outcome struct {
	State State
	Start time.Duration
}

// model says what must become of a trial, in the plainest way: it goes from one
// moment in which something ends to the next and looks at all tasks each time.
func (tr *trial) model() []outcome {
	const never = time.Duration(math.MaxInt64)
	n := len(tr.tasks)
	index := make(map[*Task]int)
	for i, t := range tr.tasks {
		index[t] = i
	}
	out := make([]outcome, n)
	ended := make([]bool, n) // or can no longer run, as something needed is not done
	running := make(map[int]time.Duration)
	wave := math.MaxInt
	for now := time.Duration(0); ; {
		for again := true; again; {
			again = false
			for i, t := range tr.tasks {
				if _, runs := running[i]; runs || ended[i] || out[i].State != "" {
					continue
				}
				ready, broken := true, false
				for _, d := range t.Needs {
					ready = ready && ended[index[d]]
					broken = broken || ended[index[d]] && out[index[d]].State != Done
				}
				for _, d := range t.After {
					ready = ready && ended[index[d]]
				}
				if ready && broken {
					ended[i], out[i].State, again = true, NotRun, true
				} else if ready && tr.took[i] == 0 {
					ended[i], out[i].State, again = true, Done, true
				}
			}
		}
		// Start the best of each class for as long as there are slots.
		for class := -1; class < len(tr.opts.Limits); class++ {
			for {
				slots, best := math.MaxInt, -1
				if class >= 0 {
					slots = tr.opts.Limits[class]
				}
				for i := range running {
					if tr.tasks[i].Class == class {
						slots--
					}
				}
				for i, t := range tr.tasks {
					_, runs := running[i]
					if runs || ended[i] || out[i].State != "" || t.Class != class || t.Wave > wave || tr.took[i] == 0 {
						continue
					}
					ready := true
					for _, d := range t.Needs {
						ready = ready && ended[index[d]] && out[index[d]].State == Done
					}
					for _, d := range t.After {
						ready = ready && ended[index[d]]
					}
					if ready && (best < 0 || t.Priority < tr.tasks[best].Priority) {
						best = i
					}
				}
				if slots <= 0 || best < 0 {
					break
				}
				running[best], out[best].Start = now+tr.took[best], now
			}
		}
		if len(running) == 0 {
			break
		}
		next, at := -1, never
		for i, end := range running {
			if end < at {
				next, at = i, end
			}
		}
		if tr.cancel > 0 && tr.cancel < at && wave >= 0 {
			now, wave = tr.cancel, -1
			continue
		}
		now = at
		delete(running, next)
		ended[next], out[next].State = true, Done
		if tr.fails[next] {
			out[next].State = Failed
			wave = min(wave, tr.tasks[next].Wave)
			if !tr.opts.KeepGoing {
				wave = -1
			}
		}
	}
	for i := range out {
		if out[i].State == "" {
			out[i].State = NotRun
		}
	}
	return out
}

// TestRandom runs random graphs and compares when each task starts and how it
// ends with the model.
func TestRandom(t *testing.T) {
	for seed := range uint64(2000) {
		tr := newTrial(seed)
		want := tr.model()
		synctest.Test(t, func(t *testing.T) {
			got := make([]outcome, len(tr.tasks))
			begin := time.Now()
			for i, x := range tr.tasks {
				if tr.took[i] == 0 {
					continue
				}
				x.Do = func(context.Context) error {
					got[i].Start = time.Since(begin)
					time.Sleep(tr.took[i])
					if tr.fails[i] {
						return errBoom
					}
					return nil
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tr.cancel > 0 {
				time.AfterFunc(tr.cancel, cancel)
			}
			results, err := Run(ctx, tr.tasks, tr.opts)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				got[i].State = results[i].State
				if got[i] != want[i] {
					t.Errorf("seed %d, task %s: %v, want %v", seed, tr.tasks[i].Name, got[i], want[i])
				}
			}
		})
		if t.Failed() {
			return
		}
	}
}
