package build

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

func newTestPool(t *testing.T, addrs ...string) *pool {
	p := newPool(Options{Addresses: addrs})
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

var farm = []string{"tcp://one.test:1234", "tcp://two.test:1234", "tcp://three.test:1234"}

// TestTakePreferred checks that each origin has a preferred builder, that these are spread
// evenly, and that one more builder changes only the preference of the builds that it gets.
func TestTakePreferred(t *testing.T) {
	before, after := newTestPool(t, farm...), newTestPool(t, append([]string{"tcp://four.test:1234"}, farm...)...)
	got := map[string]int{}
	for i := range 3000 {
		from := origin(plan.BuildSpec{ID: "web", Source: plan.Source{Path: fmt.Sprintf("svc-%d", i)}, Context: ".", Dockerfile: "Dockerfile"}, "registry.test/shop/web:1")
		a, b := before.take(from, nil), after.take(from, nil)
		got[a.addr]++
		if b.addr != a.addr && b.node != after.nodes[0] {
			t.Errorf("with one more builder, %q moves from %s to %s", from, a.addr, b.addr)
		}
		before.give(a, true)
		after.give(b, true)
	}
	for _, addr := range farm {
		if got[addr] < 800 || got[addr] > 1200 {
			t.Errorf("of 3000 origins %d prefer %s, want about 1000", got[addr], addr)
		}
	}
}

// TestOrigin checks which builds prefer the same builder.
func TestOrigin(t *testing.T) {
	spec := plan.BuildSpec{ID: "web", Source: plan.Source{Path: "web"}, Context: ".", Dockerfile: "Dockerfile"}
	const ref = "registry.test/shop/web:1"
	for name, row := range map[string]struct {
		change func(*plan.BuildSpec)
		ref    string
		same   bool
	}{
		"another content":    {func(*plan.BuildSpec) {}, "registry.test/shop/web:2", true},
		"another target":     {func(s *plan.BuildSpec) { s.ID, s.Target = "worker", "worker" }, "registry.test/shop/worker:1", true},
		"the same directory": {func(s *plan.BuildSpec) { s.Source.Path, s.Context = ".", "web" }, ref, true},
		"another Dockerfile": {func(s *plan.BuildSpec) { s.Dockerfile = "worker.Dockerfile" }, ref, false},
		"another context":    {func(s *plan.BuildSpec) { s.Context = "server" }, ref, false},
		"another project":    {func(*plan.BuildSpec) {}, "registry.test/blog/web:1", false},
		"a git repository":   {func(s *plan.BuildSpec) { s.Source.Git = "https://git.test/web.git" }, ref, false},
	} {
		other := spec
		row.change(&other)
		if got := origin(other, row.ref) == origin(spec, ref); got != row.same {
			t.Errorf("%s: the same origin is %v, want %v", name, got, row.same)
		}
	}
}

// two returns the node that the origin x prefers, and the other one.
func two(p *pool) (preferred, other *node) {
	x := p.take("x", nil)
	p.give(x, false)
	if x.node == p.nodes[0] {
		return x.node, p.nodes[1]
	}
	return x.node, p.nodes[0]
}

// running are builds that have run for these times.
func running(n *node, ages ...time.Duration) (all []*taken) {
	for _, age := range ages {
		all = append(all, &taken{n, time.Now().Add(-age)})
	}
	return all
}

// TestTakeBusy checks that a build leaves its preferred builder only if that has clearly more
// to do.
func TestTakeBusy(t *testing.T) {
	p := newTestPool(t, farm[:2]...)
	preferred, other := two(p)
	for _, row := range []struct {
		preferred, other int
		want             *node
	}{
		{0, 0, preferred}, {0, 5, preferred}, {1, 0, preferred}, {2, 0, other}, {3, 2, preferred}, {4, 2, other},
	} {
		p.busy = map[*node][]*taken{
			preferred: running(preferred, make([]time.Duration, row.preferred)...), other: running(other, make([]time.Duration, row.other)...),
		}
		if got := p.take("x", nil); got.node != row.want {
			t.Errorf("with %d builds on the preferred builder and %d on the other, the build is on %s, want %s", row.preferred, row.other, got.addr, row.want.addr)
		}
	}
	p.busy = map[*node][]*taken{}
	for range 8 { // all of one origin
		p.take("x", nil)
	}
	if len(p.busy[preferred]) != 5 || len(p.busy[other]) != 3 {
		t.Errorf("of 8 builds of one origin, %d are on its builder and %d on the other, want 5 and 3", len(p.busy[preferred]), len(p.busy[other]))
	}
}

// TestTakeNearlyIdle checks that builds count for the part of them that is left, if the last build
// tells: the other builder is taken if its builds end soon, and those of the preferred one do not.
func TestTakeNearlyIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPool(t, farm[:2]...)
		preferred, other := two(p)
		const s = time.Second
		for name, row := range map[string]struct {
			took             time.Duration
			preferred, other []time.Duration
			want             *node
		}{
			"nothing is known":             {0, []time.Duration{s, s, s}, []time.Duration{4 * s, 4 * s, 4 * s}, preferred},
			"the other one is idle soon":   {4 * s, []time.Duration{s, s, s}, []time.Duration{4 * s, 4 * s, 4 * s}, other},
			"both are":                     {4 * s, []time.Duration{3 * s, 3 * s, 3 * s}, []time.Duration{4 * s, 4 * s, 4 * s}, preferred},
			"the preferred one is":         {4 * s, []time.Duration{4 * s, 4 * s, 4 * s}, []time.Duration{s}, preferred},
			"one build more":               {4 * s, []time.Duration{0}, nil, preferred},
			"builds that take much longer": {4 * s, []time.Duration{s, s, s}, []time.Duration{40 * s, 40 * s, 40 * s}, preferred},
		} {
			p.took, p.busy = row.took, map[*node][]*taken{preferred: running(preferred, row.preferred...), other: running(other, row.other...)}
			if got := p.take("x", nil); got.node != row.want {
				t.Errorf("%s: the build is on %s, want %s", name, got.addr, row.want.addr)
			}
		}
		p.busy, p.took = map[*node][]*taken{}, 0
		failed, built := p.take("x", nil), p.take("x", nil)
		time.Sleep(s)
		if p.give(failed, false); p.took != 0 {
			t.Errorf("a build that failed tells that one takes %v", p.took)
		}
		if p.give(built, true); p.took != s || len(p.busy[preferred]) != 0 {
			t.Errorf("a build took %v, want %v; %d are left", p.took, s, len(p.busy[preferred]))
		}
	})
}

// TestTakeAbsent checks that a builder that has failed gets no builds until it has responded,
// and when it is asked.
func TestTakeAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The addresses are invalid, so that nothing is dialed.
		p := newTestPool(t, "no://one", "no://two")
		preferred, _ := two(p)
		p.avoid(preferred)
		p.avoid(preferred) // a second build of it fails too
		if until := time.Until(p.aside[preferred].until); until != firstAbsence {
			t.Errorf("it is asked after %v, want %v", until, firstAbsence)
		}
		var asked []time.Duration
		began, last := time.Now(), p.aside[preferred].until
		for time.Since(began) < 3*time.Minute {
			n := p.take("x", nil)
			p.give(n, false)
			if n.node == preferred {
				t.Fatalf("after %v a build is on the builder that has failed", time.Since(began))
			}
			synctest.Wait()
			if until := p.aside[preferred].until; until != last {
				asked, last = append(asked, time.Since(began).Round(time.Second)), until
			}
			time.Sleep(time.Second)
		}
		if len(asked) < 4 || len(asked) > 7 {
			t.Errorf("it was asked after %v, want growing intervals", asked)
		}
		if n := p.take("x", map[*node]bool{preferred: true, p.nodes[0]: true, p.nodes[1]: true}); n.node == preferred {
			t.Error("a build that both have failed is on the absent one")
		}
		for _, n := range p.nodes {
			p.avoid(n)
		}
		if n := p.take("y", map[*node]bool{preferred: true}); n.node == preferred {
			t.Error("with both absent, a build is on the one that it has tried")
		}
		p.works(preferred)
		if n := p.take("x", nil); n.node != preferred {
			t.Error("after a build on it, the builder is still avoided")
		}
	})
}

// TestOnlyBuilder checks that the only builder is started by builds only, and never in the background.
func TestOnlyBuilder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(Options{Start: func(context.Context) (string, error) {
			t.Error("the embedded builder is started")
			return "", errors.New("no runc")
		}})
		n := p.take("x", nil)
		p.give(n, false)
		p.avoid(n.node)
		time.Sleep(time.Hour)
		p.give(p.take("x", nil), false)
		synctest.Wait()
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAbsenceGrows checks that a builder that responds, but fails its builds, is left alone for
// longer each time.
func TestAbsenceGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPool(t, "no://one", "no://two")
		n := p.nodes[0]
		var waits []time.Duration
		for range 7 {
			p.avoid(n)
			waits = append(waits, time.Until(p.aside[n].until))
			p.aside[n].back = true // as if it had responded
		}
		want := []time.Duration{2, 4, 8, 16, 32, 60, 60}
		for i := range want {
			if waits[i] != want[i]*time.Second {
				t.Fatalf("it is left alone for %v, want %v seconds", waits, want)
			}
		}
	})
}
