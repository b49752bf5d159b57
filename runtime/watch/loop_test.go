package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

var staging = runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}

// A bench is watch mode on a world in memory, whose files are what the test says.
type bench struct {
	t        *testing.T
	world    *runtimetest.World
	changes  chan Change
	commands chan Command
	stop     context.CancelCauseFunc
	done     chan error

	mu        sync.Mutex
	eval      Evaluation
	evaluated int
	watched   []plan.Input
	since     []time.Time   // of each SetSince
	looks     time.Duration // how long SetSince takes
	events    []runtime.Event
	takes     time.Duration                                 // of an evaluation
	works     func(op, subject string) time.Duration        // how long the world works; nil: no time
	hook      func(context.Context, runtimetest.Call) error // of the world; nil: none
}

// slow has the world's operations take time from now on.
func (b *bench) slow(works func(op, subject string) time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.works = works
}

// hooked has the world's steps go through hook from now on.
func (b *bench) hooked(hook func(context.Context, runtimetest.Call) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook = hook
}

// evaluations counts those that came to their end.
func (b *bench) evaluations() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.evaluated
}

func (b *bench) SetSince(inputs []plan.Input, _ []plan.BuildSpec, since time.Time) error {
	b.mu.Lock()
	looks := b.looks
	b.mu.Unlock()
	time.Sleep(looks)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watched, b.since = slices.Clone(inputs), append(b.since, since)
	return nil
}

func (b *bench) Changes() <-chan Change { return b.changes }

// begin starts watch mode on p.
func begin(t *testing.T, p *plan.Plan, options func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, world: runtimetest.NewWorld(), changes: make(chan Change), commands: make(chan Command), done: make(chan error, 1)}
	b.world.Takes = func(op, subject string) time.Duration {
		b.mu.Lock()
		works := b.works
		b.mu.Unlock()
		if works == nil {
			return 0
		}
		return works(op, subject)
	}
	b.world.Hook = func(ctx context.Context, c runtimetest.Call) error {
		b.mu.Lock()
		hook := b.hook
		b.mu.Unlock()
		if hook == nil {
			return nil
		}
		return hook(ctx, c)
	}
	b.eval = Evaluation{Plan: p, Inputs: []plan.Input{file("Pipelinefile")}}
	opts := Options{
		Runtime: b.world.Runtime(), Commands: b.commands,
		Request: runtime.Request{Environment: staging, KeepGoing: true},
		Events: func(e runtime.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
		},
		Evaluate: func(ctx context.Context) Evaluation {
			b.mu.Lock()
			takes := b.takes
			b.mu.Unlock()
			select {
			case <-time.After(takes):
			case <-ctx.Done():
				return Evaluation{Err: context.Cause(ctx)}
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.evaluated++
			return b.eval
		},
	}
	if options != nil {
		options(&opts)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	b.stop = stop
	go func() { b.done <- run(ctx, opts, b) }()
	return b
}

// end ends watch mode.
func (b *bench) end() {
	b.t.Helper()
	why := errors.New("enough")
	b.stop(why)
	if err := <-b.done; !errors.Is(err, why) {
		b.t.Errorf("watch mode ended with %v, want %v", err, why)
	}
	for i, e := range b.events {
		if e.Seq != uint64(i+1) {
			b.t.Fatalf("event %d has number %d", i+1, e.Seq)
		}
	}
}

// edit sets what evaluation gives, and tells that the file has changed.
func (b *bench) edit(e Evaluation) {
	b.mu.Lock()
	b.eval = e
	b.mu.Unlock()
	b.changes <- Change{Paths: []string{"Pipelinefile"}, Inputs: []plan.Input{file("Pipelinefile")}}
}

// save changes a source.
func (b *bench) save(name, content string) {
	b.world.Builder.SetSource(name, content)
	b.changes <- Change{Paths: []string{name + "/main.go"}, Inputs: []plan.Input{{Path: name, Kind: plan.InputContext}}}
}

// states are the states of watch mode that were told since the last call.
func (b *bench) states() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, e := range b.events {
		if w, ok := e.Body.(runtime.WatchChanged); ok {
			all = append(all, string(w.State))
		}
	}
	return all
}

// revisions are those of the releases.
func (b *bench) revisions() map[string]int {
	all := make(map[string]int)
	for name, r := range b.world.Deployer.Releases("shop-staging") {
		all[name] = r.Revision
	}
	return all
}

func (b *bench) want(revisions map[string]int) {
	b.t.Helper()
	if got := b.revisions(); !maps.Equal(got, revisions) {
		b.t.Errorf("revisions %v, want %v", got, revisions)
	}
}

func file(path string) plan.Input {
	return plan.Input{Path: path, Kind: plan.InputModule, Digest: plan.DigestOf([]byte(path))}
}

// shop returns a plan with applications of the names, all in one stage.
func shop(names ...string) *plan.Plan {
	p := &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: "shop"},
		Environment: plan.EnvironmentRef{Name: "staging", Kind: "environment"},
		Stages:      []plan.Stage{{Name: "1", Order: 1}},
	}
	for _, name := range names {
		p.Builds = append(p.Builds, plan.BuildSpec{ID: name, Source: plan.Source{Path: name}, Context: ".", Dockerfile: "Dockerfile"})
		p.Services = append(p.Services, plan.Service{
			Name: name, Type: plan.Application, Stage: "1", Image: plan.ImageSource{Build: name}, Workload: plan.Workload{Replicas: 1},
		})
	}
	return p
}

// TestWatch is the way of a day: only what changed is deployed, a wrong file
// leaves the last plan in charge, the next good one goes on (C4).
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, shop("a", "b"), nil)
		synctest.Wait()
		b.want(map[string]int{"a": 1, "b": 1})

		b.save("a", "2")
		synctest.Wait()
		b.want(map[string]int{"a": 2, "b": 1})
		if b.evaluations() != 1 {
			t.Errorf("a change of a source evaluated the file: %d times", b.evaluations())
		}

		wrong := Evaluation{
			Err: errors.New("Pipelinefile:1:1: undefined: x"), Inputs: []plan.Input{file("Pipelinefile"), file("new.star")},
			Errors: []plan.Diagnostic{{Severity: plan.SeverityError, Pos: plan.Pos{File: "Pipelinefile", Line: 1, Col: 1}, Message: "undefined: x"}},
		}
		b.edit(wrong)
		synctest.Wait()
		if got := b.states(); got[len(got)-1] != "wrong" {
			t.Errorf("states %v, want wrong last", got)
		}
		if len(b.watched) != 2 {
			t.Errorf("watched %v, want what the failed evaluation read and what the last good one did", b.watched)
		}
		b.save("b", "2") // the last good plan is in charge
		synctest.Wait()
		b.want(map[string]int{"a": 2, "b": 2})
		if got := b.states(); got[len(got)-1] != "wrong" {
			t.Errorf("states %v, want wrong last", got)
		}

		good := shop("a", "b", "c")
		b.edit(Evaluation{Plan: good, Inputs: []plan.Input{file("Pipelinefile")}})
		synctest.Wait()
		b.want(map[string]int{"a": 2, "b": 2, "c": 1})

		b.edit(Evaluation{Plan: shop("a", "b"), Inputs: []plan.Input{file("Pipelinefile")}})
		synctest.Wait()
		b.want(map[string]int{"a": 2, "b": 2, "c": 1}) // shown, and left (D5)
		removed := slices.ContainsFunc(b.events, func(e runtime.Event) bool {
			r, is := e.Body.(runtime.ServiceRemoved)
			return is && e.Service == "c" && !r.Prune
		})
		if !removed {
			t.Errorf("nobody was told that c is removed")
		}
		b.end()
		b.want(map[string]int{"a": 2, "b": 2, "c": 1}) // leaving leaves everything running
	})
}

// TestSameFile: a save that leaves the plan as it is runs nothing.
// TestRunBesideFirstLook: the first run does not wait until all files were looked at;
// what changed since then is asked for, and until it is known nothing has settled.
func TestRunBesideFirstLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := begin(t, shop("a"), func(o *Options) {
			evaluate := o.Evaluate
			o.Evaluate = func(ctx context.Context) Evaluation {
				time.Sleep(time.Second)
				return evaluate(ctx)
			}
		})
		b.mu.Lock()
		b.looks = 5 * time.Second
		b.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		b.want(map[string]int{"a": 1})
		if got := b.states(); slices.Contains(got, "settled") {
			t.Errorf("states %v: what changes now is not known yet", got)
		}
		b.edit(Evaluation{Plan: shop("a", "b"), Inputs: []plan.Input{file("Pipelinefile"), file("b.star")}})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		b.want(map[string]int{"a": 1, "b": 1})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := b.states(); got[len(got)-1] != "settled" {
			t.Errorf("states %v, want settled last", got)
		}
		if len(b.watched) != 2 || len(b.since) != 2 || !b.since[0].Equal(began) || !b.since[1].Equal(began) {
			t.Errorf("watched %v since %v, want the newest inputs since %v", b.watched, b.since, began)
		}
		b.edit(Evaluation{Plan: shop("a", "b", "c"), Inputs: []plan.Input{file("Pipelinefile")}})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(b.since) != 3 || !b.since[2].IsZero() {
			t.Errorf("since %v: later on everything is watched before it is read", b.since)
		}
		b.end()
	})
}

func TestSameFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, shop("a"), nil)
		synctest.Wait()
		calls := len(b.world.Calls())
		b.edit(Evaluation{Plan: shop("a"), Inputs: []plan.Input{file("Pipelinefile")}})
		synctest.Wait()
		if got := len(b.world.Calls()); got != calls {
			t.Errorf("%d operations for a file that says the same: %v", got-calls, b.world.Calls()[calls:])
		}
		b.end()
	})
}

// TestPause: what changes while watch mode is paused is run, in one run, when it goes on.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, shop("a", "b"), nil)
		synctest.Wait()
		b.commands <- Command{Do: Pause}
		b.save("a", "2")
		b.save("b", "2")
		synctest.Wait()
		b.want(map[string]int{"a": 1, "b": 1})
		b.commands <- Command{Do: Resume}
		synctest.Wait()
		b.want(map[string]int{"a": 2, "b": 2})
		if got := strings.Join(b.states(), " "); got != "evaluating running settled paused running settled" {
			t.Errorf("states %s", got)
		}
		b.end()
	})
}

// TestBranchSwitch: HEAD that moves holds if more would be deployed than was
// changed by hand, and only if somebody can be asked.
func TestBranchSwitch(t *testing.T) {
	for _, test := range []struct {
		name    string
		ask     bool
		command Order
		want    map[string]int
	}{
		{"nobody is asked", false, "", map[string]int{"a": 3, "b": 2, "c": 2}},
		{"no answer", true, "", map[string]int{"a": 2, "b": 1, "c": 1}},
		{"run", true, Again, map[string]int{"a": 3, "b": 2, "c": 2}},
		{"pause", true, Pause, map[string]int{"a": 2, "b": 1, "c": 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := begin(t, shop("a", "b", "c"), func(o *Options) { o.Ask = test.ask })
				synctest.Wait()
				time.Sleep(2 * time.Minute) // the first run was long ago
				b.save("a", "2")
				synctest.Wait()
				var all []plan.Input
				for _, name := range []string{"a", "b", "c"} {
					b.world.Builder.SetSource(name, "other branch")
					all = append(all, plan.Input{Path: name, Kind: plan.InputContext})
				}
				b.changes <- Change{Paths: []string{"a/x", "b/x", "c/x"}, Inputs: all, Head: true}
				synctest.Wait()
				if test.command != "" {
					b.commands <- Command{Do: test.command}
					synctest.Wait()
				}
				b.want(test.want)
				b.end()
			})
		})
	}
}

// TestOwnHandwork: a commit of what was just changed by hand asks nothing.
func TestOwnHandwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, shop("a", "b"), func(o *Options) { o.Ask = true })
		synctest.Wait()
		b.world.Builder.SetSource("a", "2")
		b.changes <- Change{Paths: []string{"a/x"}, Inputs: []plan.Input{{Path: "a", Kind: plan.InputContext}}, Head: true}
		synctest.Wait()
		b.want(map[string]int{"a": 2, "b": 1})
		b.end()
	})
}

// TestRestart rolls the pods of one service. It waits for a run that is at work on
// the service; a change of another service leaves it alone and deploys nothing of it
// again, and a change of the same service ends its wait (W3).
func TestRestart(t *testing.T) {
	minutes := func(op, subject string) time.Duration {
		if subject == "a" && (op == "Deployer.Restart" || op == "Deployer.Deploy") {
			return time.Minute
		}
		return time.Second
	}
	for _, test := range []struct {
		name      string
		do        func(b *bench)
		want      map[string]int
		restarts  int
		operation []string // on a
	}{
		{"alone", func(*bench) {}, map[string]int{"a": 1, "b": 1}, 1, []string{"Deployer.Restart 5m0s-6m0s"}},
		{
			"another changes", func(b *bench) { b.save("b", "2") },
			map[string]int{"a": 1, "b": 2}, 1, []string{"Deployer.Restart 5m0s-6m0s"},
		},
		{
			"it changes", func(b *bench) { b.save("a", "2") }, // which takes a second to build
			map[string]int{"a": 2, "b": 1}, 0, []string{"Deployer.Restart 5m0s-5m11s", "Deployer.Deploy 5m11s-6m11s"},
		},
		{
			"it is restarted again", func(b *bench) { b.commands <- Command{Do: Restart, Service: "a"} },
			map[string]int{"a": 1, "b": 1}, 2, []string{"Deployer.Restart 5m0s-6m0s", "Deployer.Restart 6m0s-7m0s"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := begin(t, shop("a", "b"), nil)
				b.slow(minutes)
				time.Sleep(5 * time.Minute)
				before := len(b.world.Spans())
				b.commands <- Command{Do: Restart, Service: "a"}
				time.Sleep(10 * time.Second)
				test.do(b)
				time.Sleep(time.Hour)
				b.want(test.want)
				if got := b.world.Deployer.Releases("shop-staging")["a"]; got.Restarts != test.restarts || !got.Ready {
					t.Errorf("%d restarts, ready %v; want %d, and ready", got.Restarts, got.Ready, test.restarts)
				}
				var got []string
				for _, s := range b.world.Spans()[before:] {
					if s.Subject == "a" && strings.HasPrefix(s.Op, "Deployer.") {
						got = append(got, fmt.Sprintf("%s %v-%v", s.Op, s.Start, s.End))
					}
				}
				if !slices.Equal(got, test.operation) {
					t.Errorf("operations %v, want %v", got, test.operation)
				}
				if got := b.states(); got[len(got)-1] != "settled" {
					t.Errorf("states %v, want settled last", got)
				}
				b.end()
			})
		})
	}
}

// TestRestartWaits: a restart begins when the deploy of its service has ended, and
// is cancelled with watch mode. One of a service that is not there is told.
func TestRestartWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, shop("a"), nil)
		b.slow(func(op, _ string) time.Duration {
			if op == "Deployer.Deploy" {
				return time.Minute
			}
			return 10 * time.Second
		})
		time.Sleep(20 * time.Second)
		b.commands <- Command{Do: Restart, Service: "a"}
		b.commands <- Command{Do: Restart, Service: "x"}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, s := range b.world.Spans() {
			if s.Op == "Deployer.Restart" && s.Start < time.Minute {
				t.Errorf("restarted at %v, while it was deployed", s.Start)
			}
		}
		if !slices.ContainsFunc(b.events, func(e runtime.Event) bool {
			w, is := e.Body.(runtime.Warned)
			return is && strings.Contains(w.Diagnostic.Message, `cannot restart service "x"`)
		}) {
			t.Error("no warning says that x cannot be restarted")
		}
		b.end()
	})
}

// TestRestartFails: watch mode settles with the service that does not get ready,
// until a run finds it ready.
func TestRestartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, shop("a", "b"), nil)
		synctest.Wait()
		failing := true
		b.hooked(func(_ context.Context, c runtimetest.Call) error {
			if c.Op == "Deployer.Restart end" && failing {
				return &runtime.ReleaseError{Release: "a", Err: errors.New("it crashes")}
			}
			return nil
		})
		settled := func() []string {
			for _, e := range slices.Backward(b.events) {
				if w, ok := e.Body.(runtime.WatchChanged); ok && w.State == runtime.Settled {
					return w.Services
				}
			}
			return nil
		}
		b.commands <- Command{Do: Restart, Service: "a"}
		synctest.Wait()
		if got := settled(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("settled with %v, want a", got)
		}
		b.save("b", "2")
		synctest.Wait()
		if got := settled(); len(got) != 0 {
			t.Errorf("settled with %v, want nothing that failed", got)
		}
		for _, e := range b.events { // a run begins, and ends, with its number
			if s, ok := e.Body.(runtime.RunStarted); ok && (e.Run == 0 || e.Run == 2 != (s.Action == runtime.Restart)) {
				t.Errorf("run %d is a %s", e.Run, s.Action)
			}
		}
		b.end()
	})
}

// TestSettledLeftAlone: what another run has changed meanwhile, and the session leaves
// alone, is told when watch mode has settled, and not any more once it is deployed again.
func TestSettledLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, shop("a", "b"), nil)
		synctest.Wait()
		_, err := b.world.Runtime().Run(t.Context(), runtime.Request{Action: runtime.Stop, Environment: staging, Services: []string{"a"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			save string
			want []runtime.LeftAlone
		}{
			{"b", []runtime.LeftAlone{{Service: "a", Action: runtime.Stop}}},
			{"a", nil},
		} {
			b.save(test.save, "2")
			synctest.Wait()
			last, ok := b.events[len(b.events)-1].Body.(runtime.WatchChanged)
			if !ok || last.State != runtime.Settled || !slices.Equal(last.LeftAlone, test.want) {
				t.Errorf("after a change of %s: %+v, want settled with %v left alone", test.save, last, test.want)
			}
		}
		b.end()
	})
}

// TestNewerEvaluation: an evaluation that is out of date is ended, and is not a run.
func TestNewerEvaluation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, shop("a"), nil)
		synctest.Wait()
		b.mu.Lock()
		b.takes = time.Minute
		b.mu.Unlock()
		for i := range 5 {
			p := shop("a")
			p.Services[0].Workload.Replicas = i + 2
			b.edit(Evaluation{Plan: p, Inputs: []plan.Input{file("Pipelinefile")}})
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		if b.evaluations() != 2 {
			t.Errorf("%d evaluations came to their end, want the first and the last", b.evaluations())
		}
		b.want(map[string]int{"a": 2})
		b.end()
	})
}

// TestMovingSource: a run whose sources changed while it read them is made again.
func TestMovingSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		failed := false
		b := begin(t, shop("a"), func(o *Options) {})
		b.hooked(func(_ context.Context, c runtimetest.Call) error {
			mu.Lock()
			defer mu.Unlock()
			if c.Op == "Builder.Build" && !failed {
				failed = true
				return fmt.Errorf("main.go changed: %w", runtime.ErrConflict)
			}
			return nil
		})
		time.Sleep(time.Minute)
		b.want(map[string]int{"a": 1})
		b.end()
	})
}

// TestWatchSettles makes random changes at random moments. When all is done, a
// fresh run finds nothing to do.
func TestWatchSettles(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			names := []string{"a", "b", "c", "d"}
			b := begin(t, shop(names...), nil)
			var mu sync.Mutex
			b.slow(func(string, string) time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return time.Duration(r.IntN(10)) * time.Second
			})
			number := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return r.IntN(n)
			}
			for range 1 + number(12) {
				time.Sleep(time.Duration(number(15)) * time.Second)
				switch number(4) {
				case 0:
					p := shop(names[:1+number(4)]...)
					p.Services[0].Workload.Replicas = 1 + number(3)
					b.edit(Evaluation{Plan: p, Inputs: []plan.Input{file("Pipelinefile")}})
				case 1:
					b.edit(Evaluation{Err: errors.New("wrong"), Inputs: []plan.Input{file("Pipelinefile")}})
				default:
					b.save(names[number(4)], fmt.Sprint(number(3)))
				}
			}
			b.edit(Evaluation{Plan: shop(names...), Inputs: []plan.Input{file("Pipelinefile")}})
			time.Sleep(time.Hour)
			if got := b.states(); got[len(got)-1] != "settled" {
				t.Errorf("seed %d: states %v", seed, got)
			}
			b.end()
			b.slow(nil)
			record, err := b.world.Runtime().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: shop(names...)})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for _, s := range record.Services {
				if s.State != runtime.Unchanged {
					t.Errorf("seed %d: a fresh run finds %s %s", seed, s.Service, s.State)
					for _, e := range b.events {
						if e.Service == s.Service || e.Service == "" {
							t.Logf("%v %s %+v", e.Time.Format("15:04:05"), e.Service, e.Body)
						}
					}
				}
			}
		})
	}
}
