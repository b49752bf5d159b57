package sched

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errBoom = errors.New("boom")

// takes returns work that takes a time and ends with err.
func takes(d time.Duration, err error) func(context.Context) error {
	return func(context.Context) error {
		time.Sleep(d)
		return err
	}
}

func count(results []Result, state State) int {
	n := 0
	for _, r := range results {
		if r.State == state {
			n++
		}
	}
	return n
}

// stages is two stages of 20 builds and 20 deploys of a second each. A failing
// task takes half a second.
func stages(ahead, keepGoing bool, fail string) (tasks []*Task) {
	var gate *Task
	for s := range 2 {
		built := &Task{Name: fmt.Sprint("built", s), Class: -1}
		done := &Task{Name: fmt.Sprint("done", s), Class: -1}
		for i := range 20 {
			work := func(name string) func(context.Context) error {
				if fail == name {
					return takes(time.Second/2, errBoom)
				}
				return takes(time.Second, nil)
			}
			bn, dn := fmt.Sprintf("b%d.%d", s, i), fmt.Sprintf("d%d.%d", s, i)
			b := &Task{Name: bn, Class: 0, Priority: s, Wave: s, Do: work(bn)}
			d := &Task{Name: dn, Class: 1, Priority: s, Wave: s, Needs: []*Task{b}, Do: work(dn)}
			if gate != nil {
				d.Needs = append(d.Needs, gate)
				if !ahead {
					b.Needs = append(b.Needs, gate)
				}
			}
			if keepGoing {
				d.After = append(d.After, built)
				built.After = append(built.After, b)
			} else {
				d.Needs = append(d.Needs, built)
				built.Needs = append(built.Needs, b)
			}
			done.Needs = append(done.Needs, d)
			tasks = append(tasks, b, d)
		}
		tasks = append(tasks, built, done)
		gate = done
	}
	return tasks
}

func TestRun(t *testing.T) {
	for _, test := range []struct {
		name             string
		ahead, keepGoing bool
		fail             string
		took             time.Duration
		done             int
	}{
		{"stages", false, false, "", 12 * time.Second, 84},
		// 20 builds are three rounds; the seventh slot of the third builds ahead.
		{"build ahead", true, false, "", 9 * time.Second, 84},
		{"a build fails", false, false, "b0.0", time.Second, 6},
		{"a deploy fails", false, false, "d0.19", 6 * time.Second, 20 + 1 + 19},
		// With the barrier after the builds of the second stage, which all have "ended".
		{"a build fails and it keeps going", false, true, "b0.0", 6 * time.Second, 19 + 19 + 2},
		{"a deploy fails and it keeps going", false, true, "d0.0", 6 * time.Second, 20 + 19 + 2},
		// Nothing is built ahead for a stage that cannot come any more.
		{"a build fails, it keeps going and builds ahead", true, true, "b0.0", 6 * time.Second, 19 + 19 + 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				results, err := Run(t.Context(), stages(test.ahead, test.keepGoing, test.fail), Options{Limits: []int{7, 7}, KeepGoing: test.keepGoing})
				if err != nil {
					t.Fatal(err)
				}
				if got := time.Since(start); got != test.took {
					t.Errorf("took %v, want %v", got, test.took)
				}
				if got := count(results, Done); got != test.done {
					t.Errorf("%d done, want %d", got, test.done)
				}
				if got, want := count(results, Failed), min(1, len(test.fail)); got != want {
					t.Errorf("%d failed, want %d", got, want)
				}
			})
		})
	}
}

func TestPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		var tasks []*Task
		for i, p := range []int{3, 1, 2, 1, 0} {
			name := fmt.Sprint(i)
			tasks = append(tasks, &Task{Name: name, Priority: p, Do: func(context.Context) error {
				order = append(order, name)
				time.Sleep(time.Second)
				return nil
			}})
		}
		if _, err := Run(t.Context(), tasks, Options{Limits: []int{1}}); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(order, " "), "4 1 3 2 0"; got != want {
			t.Errorf("ran in the order %s, want %s", got, want)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		time.AfterFunc(1500*time.Millisecond, func() { cancel(why) })
		slow := &Task{Name: "slow", Class: -1, Do: func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second) // to clean up
			return context.Cause(ctx)
		}}
		first := &Task{Name: "first", Do: takes(time.Second, nil)}
		second := &Task{Name: "second", Do: takes(time.Second, nil)}
		third := &Task{Name: "third", Do: takes(time.Second, nil)}
		start := time.Now()
		results, err := Run(ctx, []*Task{slow, first, second, third}, Options{Limits: []int{1}})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := time.Since(start), 2500*time.Millisecond; got != want {
			t.Errorf("took %v, want %v: what runs is waited for", got, want)
		}
		want := []Result{{Failed, why}, {Done, nil}, {Done, nil}, {NotRun, nil}}
		for i, r := range results {
			if r != want[i] {
				t.Errorf("task %d is %v, want %v", i, r, want[i])
			}
		}
	})
}

func TestCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results, err := Run(ctx, []*Task{{Name: "a", Do: func(context.Context) error {
		t.Error("a task ran")
		return nil
	}}}, Options{Limits: []int{1}})
	if err != nil || results[0].State != NotRun {
		t.Errorf("Run = %v, %v", results, err)
	}
}

func TestPanic(t *testing.T) {
	tasks := []*Task{
		{Name: "bad", Do: func(context.Context) error { panic(errBoom) }},
		{Name: "gone", Do: func(context.Context) error { goruntime.Goexit(); return nil }},
		{Name: "good", Do: func(context.Context) error { return nil }},
	}
	results, err := Run(t.Context(), tasks, Options{Limits: []int{1}, KeepGoing: true})
	if err != nil {
		t.Fatal(err)
	}
	var p *PanicError
	if !errors.As(results[0].Err, &p) || !errors.Is(p, errBoom) || !strings.Contains(string(p.Stack), "TestPanic") {
		t.Errorf("the panic is %v", results[0].Err)
	}
	if got, want := results[0].Err.Error(), "bad: panic: boom"; got != want {
		t.Errorf("the panic is %q, want %q", got, want)
	}
	if results[1].State != Failed {
		t.Errorf("a task whose goroutine ended is %v", results[1])
	}
	if results[2].State != Done {
		t.Errorf("the task after is %v", results[2])
	}
}

func TestNoGraph(t *testing.T) {
	never := func(context.Context) error { t.Error("a task ran"); return nil }
	a, b, c := &Task{Name: "a", Do: never}, &Task{Name: "b", Do: never}, &Task{Name: "c", Do: never}
	free := &Task{Name: "free", Do: never}
	b.Needs, c.After, a.Needs = []*Task{a, free}, []*Task{b}, []*Task{c}
	for _, test := range []struct {
		name   string
		tasks  []*Task
		limits []int
		want   string
	}{
		{"cycle", []*Task{free, a, b, c}, []int{1}, "tasks wait for each other: a -> c -> b -> a"},
		{"missing", []*Task{b, free}, []int{1}, "task b waits for a, which is not among the tasks"},
		{"twice", []*Task{free, free}, []int{1}, "task free is listed twice"},
		{"class", []*Task{free}, nil, "task free has class 0, which has no limit"},
		{"no slot", []*Task{free}, []int{0}, "class 0 has 0 slots; none of its tasks could run"},
	} {
		_, err := Run(t.Context(), test.tasks, Options{Limits: test.limits})
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestLongChain(t *testing.T) {
	const n = 100_000
	tasks := make([]*Task, n)
	for i := range tasks {
		tasks[i] = &Task{Class: -1}
		if i > 0 {
			tasks[i].Needs = tasks[i-1 : i]
		}
	}
	ran := false
	tasks = append(tasks, &Task{Needs: tasks[n-1:], Do: func(context.Context) error { ran = true; return nil }})
	results, err := Run(t.Context(), tasks, Options{Limits: []int{1}})
	if err != nil || !ran || count(results, Done) != n+1 {
		t.Errorf("ran = %v, %v", ran, err)
	}
}

// BenchmarkRun runs 100 000 tasks: two classes, a gate between them, and random
// priorities, so that the queues are long and unsorted.
func BenchmarkRun(b *testing.B) {
	const n = 100_000
	nothing := func(context.Context) error { return nil }
	for b.Loop() {
		b.StopTimer()
		tasks := make([]*Task, 0, n+1)
		gate := &Task{Name: "gate", Class: -1}
		for i := range n / 2 {
			x := &Task{Class: 0, Priority: i * 7919 % 1000, Do: nothing}
			y := &Task{Class: 1, Priority: i * 104729 % 1000, Needs: []*Task{gate, x}, Do: nothing}
			gate.Needs = append(gate.Needs, x)
			tasks = append(tasks, x, y)
		}
		tasks = append(tasks, gate)
		b.StartTimer()
		if _, err := Run(context.Background(), tasks, Options{Limits: []int{7, 7}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/task")
}
