package runtime_test

import (
	"context"
	"errors"
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

// checked is a plan whose services are deployed, and are about to change: one in each
// of two stages.
func checked(t *testing.T, w *runtimetest.World) *plan.Plan {
	t.Helper()
	w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
	p := pipeline(2)
	service(p, 1, "one", plan.ImageSource{Mirror: "redis:7"})
	service(p, 2, "two", plan.ImageSource{Mirror: "redis:7"})
	_, err := run(t, w, runtime.Request{Plan: p})
	must(t, err)
	p = again(p)
	for i := range p.Services {
		p.Services[i].Values = map[string]any{"changed": true}
	}
	return p
}

// again returns a copy of a plan whose services can be changed.
func again(p *plan.Plan) *plan.Plan {
	is := *p
	is.Services = slices.Clone(p.Services)
	return &is
}

// TestRefused: what the cluster would refuse in any stage is found before the first
// release is written (D8).
func TestRefused(t *testing.T) {
	const refused, ruled, rule = runtimetest.RefusedValue, runtimetest.RuledValue, runtimetest.RuleValue
	chart := &plan.Chart{Ref: "charts/one"}
	for _, test := range []struct {
		name      string
		change    func(one, two *plan.Service)
		keepGoing bool
		one, two  runtime.State
		warned    bool
	}{
		{name: "nothing", change: func(_, _ *plan.Service) {}, one: runtime.Done, two: runtime.Done},
		{name: "in the second stage", change: func(_, two *plan.Service) { two.Values[refused] = 1 }, one: runtime.Cancelled, two: runtime.Failed},
		{name: "in both stages", change: func(one, two *plan.Service) { one.Values[refused], two.Values[refused] = 1, 1 }, one: runtime.Failed, two: runtime.Cancelled},
		{name: "by a rule", change: func(_, two *plan.Service) { two.Values[ruled] = 1 }, one: runtime.Cancelled, two: runtime.Failed},
		{name: "by a rule that an earlier stage has", change: func(one, two *plan.Service) { one.Values[rule], two.Values[ruled] = 1, 1 }, one: runtime.Done, two: runtime.Done, warned: true},
		{name: "by a rule that the chart of an earlier stage does not have", change: func(one, two *plan.Service) { one.Chart, two.Values[ruled] = chart, 1 }, one: runtime.Cancelled, two: runtime.Failed},
		{name: "by a rule that a service has which is refused itself", change: func(one, two *plan.Service) { one.Values[rule], one.Values[refused], two.Values[ruled] = 1, 1, 1 }, one: runtime.Failed, two: runtime.Cancelled},
		{name: "for ever, whatever an earlier stage has", change: func(one, two *plan.Service) { one.Values[rule], two.Values[refused] = 1, 1 }, one: runtime.Cancelled, two: runtime.Failed},
		{name: "by a rule that it has itself", change: func(one, _ *plan.Service) { one.Values[rule], one.Values[ruled] = 1, 1 }, one: runtime.Failed, two: runtime.Cancelled},
		{name: "keep going", keepGoing: true, change: func(_, two *plan.Service) { two.Values[refused] = 1 }, one: runtime.Done, two: runtime.Failed},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := runtimetest.NewWorld()
			p := checked(t, w)
			test.change(p.Service("one"), p.Service("two"))
			deploys, warned := w.Count("Deployer.Deploy"), false
			record, err := run(t, w, runtime.Request{Plan: p, KeepGoing: test.keepGoing, Events: func(e runtime.Event) {
				if e, ok := e.Body.(runtime.Warned); ok {
					warned = warned || strings.Contains(e.Diagnostic.Message, "two: the cluster would refuse this now: ")
				}
			}})
			if s := states(record); s["one"] != test.one || s["two"] != test.two {
				t.Errorf("states %v, want %s and %s", s, test.one, test.two)
			}
			failed := test.one == runtime.Failed || test.two == runtime.Failed
			var is *runtime.RefusedError
			if failed != errors.As(err, &is) || !failed && err != nil {
				t.Errorf("Run = %v", err)
			}
			if n := w.Count("Deployer.Deploy") - deploys; failed && !test.keepGoing && n > 0 {
				t.Errorf("%d releases were deployed before", n)
			}
			if warned != test.warned {
				t.Errorf("warned: %v", warned)
			}
		})
	}
}

// TestRefusedOwner: an object that a release of an earlier stage may give up when that
// is deployed is not an error (D8).
func TestRefusedOwner(t *testing.T) {
	for _, owner := range []string{"one", "another", "one, which keeps it", "one, in a namespace of its own", "one, of another namespace"} {
		w := runtimetest.NewWorld()
		p := checked(t, w)
		object := runtime.ObjectRef{Kind: "Service", Namespace: "shop-staging", Name: "x"}
		name, _, _ := strings.Cut(owner, ",")
		of := runtime.Place{Namespace: "shop-staging", Name: name}
		switch owner {
		case "one, which keeps it":
			object = runtimetest.ObjectOf("shop-staging", "one")
		case "one, in a namespace of its own":
			p.Service("one").Namespace = "operators"
			of.Namespace = staging.NamespaceOf(p.Service("one"))
		case "one, of another namespace":
			of.Namespace = "elsewhere"
		}
		w.Hook = func(_ context.Context, c runtimetest.Call) error {
			if c.Op == "Deployer.Check" && c.Subject == "two" {
				return &runtime.RefusedError{Release: "two", Changes: []runtime.RefusedChange{{Object: object, Why: "it exists", Exists: true, Owner: of}}}
			}
			return nil
		}
		if _, err := run(t, w, runtime.Request{Plan: p}); (err == nil) != (owner == "one" || owner == "one, in a namespace of its own") {
			t.Errorf("owned by %s: Run = %v", owner, err)
		}
	}
}

// TestAwaited: an object that does not exist and that pods wait for fails all services that
// need it with one cause, unless a service of the same stage or of an earlier one has it.
func TestAwaited(t *testing.T) {
	media := runtime.ObjectRef{Kind: "PersistentVolumeClaim", Namespace: "shop-staging", Name: "media"}
	claim := func(service string) error {
		return &runtime.RefusedError{Release: service, Changes: []runtime.RefusedChange{{Object: media, Why: "it does not exist", Awaited: true, Rules: []string{"custom"}}}}
	}
	for _, test := range []struct {
		name     string
		needs    []string
		made     string // the service that has the claim
		by       string // the service with the rule that may have it
		partial  bool
		want     string // of the error; empty: it works
		warnings int
	}{
		{name: "nobody has it", needs: []string{"two"}, want: "persistentvolumeclaim media: it does not exist: two needs it"},
		{name: "two services need it", needs: []string{"beside", "two"}, want: "persistentvolumeclaim media: it does not exist: beside, two need it"},
		{name: "an earlier stage has it", needs: []string{"beside", "two"}, made: "one"},
		{name: "the same stage has it", needs: []string{"two"}, made: "beside"},
		{name: "a later stage has it", needs: []string{"one"}, made: "two", want: "one needs it"},
		{name: "a controller may make it", needs: []string{"two"}, by: "one", warnings: 1},
		{name: "a controller beside it may make it", needs: []string{"two"}, by: "beside", warnings: 1},
		{name: "a later controller may make it", needs: []string{"one"}, by: "two", want: "one needs it"},
		{name: "a chart of a new namespace may have it", needs: []string{"two"}, partial: true, warnings: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := runtimetest.NewWorld()
			w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
			p := pipeline(2)
			service(p, 1, "one", plan.ImageSource{Mirror: "redis:7"})
			service(p, 2, "beside", plan.ImageSource{Mirror: "redis:7"})
			service(p, 2, "two", plan.ImageSource{Mirror: "redis:7"})
			rt := w.Runtime()
			rt.Deployer = checking{w.Deployer, func(name string) (has runtime.Checked, err error) {
				if name == test.made {
					has.Objects = []runtime.ObjectRef{media}
				}
				if name == test.by {
					has.Rules = []string{"custom"}
				}
				has.Partial = test.partial && name == "one"
				if slices.Contains(test.needs, name) {
					err = claim(name)
				}
				return has, err
			}}
			warnings := 0
			record, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p, Events: func(e runtime.Event) {
				if e, ok := e.Body.(runtime.Warned); ok && strings.Contains(e.Diagnostic.Message, "persistentvolumeclaim media") {
					warnings++
				}
			}})
			if (err == nil) != (test.want == "") || warnings != test.warnings {
				t.Fatalf("Run = %v, want %q, with %d warnings", err, test.want, warnings)
			}
			if err == nil {
				return
			}
			if len(w.Deployer.Releases("shop-default"))+len(w.Deployer.Releases("shop-staging")) > 0 {
				t.Errorf("something is deployed")
			}
			causes := make(map[string]bool)
			for _, s := range record.Services {
				var common *runtime.CommonError
				if errors.As(s.Err, &common) {
					causes[common.Text] = true
					if !strings.Contains(common.Text, test.want) {
						t.Errorf("%s: %v, want %q", s.Service, s.Err, test.want)
					}
				}
			}
			if len(causes) != 1 {
				t.Errorf("the causes are %v", causes)
			}
		})
	}
}

// checking is a Deployer whose Check is a function of the name of a service.
type checking struct {
	runtime.Deployer
	check func(string) (runtime.Checked, error)
}

func (c checking) Check(_ context.Context, r runtime.Release, _ runtime.Emit) (runtime.Checked, error) {
	return c.check(r.Service.Name)
}

// TestCheckedBesideBuilds: the cluster is asked while images are built, of all stages,
// with the images that are deployed; nothing is asked about what does not change, and a
// service that is refused ends as failed though its image is made (D8).
func TestCheckedBesideBuilds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		p := pipeline(2)
		app(p, 1, "one")
		app(p, 2, "two")
		app(p, 2, "same")
		_, err := run(t, w, runtime.Request{Plan: p})
		must(t, err)
		w.Builder.SetSource("one", "changed")
		w.Builder.SetSource("two", "changed")
		w.Takes = func(op, _ string) time.Duration {
			if op == "Builder.Build" {
				return time.Minute
			}
			return 0
		}
		var mu sync.Mutex
		var asked []string
		w.Hook = func(_ context.Context, c runtimetest.Call) error {
			if c.Op == "Deployer.Check" {
				mu.Lock()
				asked = append(asked, c.Subject)
				mu.Unlock()
				time.Sleep(30 * time.Second)
			}
			return nil
		}
		begun := time.Now()
		_, err = run(t, w, runtime.Request{Plan: p})
		must(t, err)
		if took := time.Since(begun); took != 2*time.Minute {
			t.Errorf("it took %s, want that of two builds", took)
		}
		if len(asked) != 2 || asked[0] == "same" || asked[1] == "same" {
			t.Errorf("asked about %q", asked)
		}

		w.Builder.SetSource("one", "again")
		p = again(p)
		p.Service("one").Values = map[string]any{runtimetest.RefusedValue: true}
		record, err := run(t, w, runtime.Request{Plan: p})
		if s := states(record); err == nil || s["one"] != runtime.Failed || s["two"] != runtime.Cancelled {
			t.Errorf("Run = %v, states %v", err, s)
		}
	})
}
