//go:build unix

package deploy_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
	"github.com/pipelinefile/pipe/runtime/store"
)

// twins returns two environments that would have the same namespace.
func twins(t *testing.T) (a, b runtime.EnvironmentKey) {
	t.Helper()
	a = runtime.EnvironmentKey{Pipeline: runtimetest.Unique("twin"), Name: "review-pr"}
	b = runtime.EnvironmentKey{Pipeline: a.Pipeline + "-review", Name: "pr"}
	if a.Namespace() != b.Namespace() {
		t.Fatalf("%v and %v have two namespaces", a, b)
	}
	t.Cleanup(func() { deleteNamespace(client(t, testenv.Cluster(t)), a.Namespace()) })
	return a, b
}

// planFor returns a plan of these services in one stage.
func planFor(key runtime.EnvironmentKey, services ...plan.Service) *plan.Plan {
	p := &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: key.Pipeline},
		Environment: plan.EnvironmentRef{Name: key.Name, Kind: "environment"},
		Stages:      []plan.Stage{{Name: "one", Order: 1}},
		Services:    services,
	}
	for i := range p.Services {
		p.Services[i].Stage, p.Services[i].Image.Ref = "one", testImage
	}
	return p
}

// ownedBy checks that err says that something of key belongs to owner.
func ownedBy(t *testing.T, what string, err error, key, owner runtime.EnvironmentKey) {
	t.Helper()
	var owned *runtime.OwnedError
	if !errors.As(err, &owned) || owned.Key != key || owned.Owner != owner {
		t.Errorf("%s = %v, want an OwnedError for %v that names %v", what, err, key, owner)
	}
}

// inventory returns everything that pipe knows in a namespace, with its labels.
func inventory(t *testing.T, c kubernetes.Interface, namespace string) []string {
	t.Helper()
	var all []string
	note := func(kind string, m *metav1.ObjectMeta) {
		if m.Name != "kube-root-ca.crt" {
			all = append(all, kind+" "+m.Name+" of "+runtime.OwnerOf(m.Labels).Name+" at "+m.ResourceVersion)
		}
	}
	in := metav1.ListOptions{}
	maps, err := c.CoreV1().ConfigMaps(namespace).List(t.Context(), in)
	must(t, err)
	for i := range maps.Items {
		note("map", &maps.Items[i].ObjectMeta)
	}
	secrets, err := c.CoreV1().Secrets(namespace).List(t.Context(), in)
	must(t, err)
	for i := range secrets.Items {
		note("secret", &secrets.Items[i].ObjectMeta)
	}
	leases, err := c.CoordinationV1().Leases(namespace).List(t.Context(), in)
	must(t, err)
	for i := range leases.Items {
		note("lease", &leases.Items[i].ObjectMeta)
	}
	claims, err := c.CoreV1().PersistentVolumeClaims(namespace).List(t.Context(), in)
	must(t, err)
	for i := range claims.Items { // its controller writes the rest
		claims.Items[i].ResourceVersion = ""
		note("claim", &claims.Items[i].ObjectMeta)
	}
	slices.Sort(all)
	return all
}

// TestSecondOwner: the second environment in a namespace is rejected, whatever its action
// is, before anything is written (E6).
func TestSecondOwner(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	a, b := twins(t)
	_, err := runtimeOn(t, config).Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(a, container("one"))})
	must(t, explainedRun(err))
	before := inventory(t, client(t, config), a.Namespace())

	var writes atomic.Int64
	rt := runtimeOn(t, counted(config, &writes))
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(b, container("two"))})
	ownedBy(t, "Run", err, b, a)
	_, err = rt.Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(b, container("two"))})
	ownedBy(t, "Preview", err, b, a)
	for _, action := range []runtime.Action{runtime.Stop, runtime.Start, runtime.Restart, runtime.Delete} {
		_, err = rt.Run(t.Context(), runtime.Request{Action: action, Environment: b})
		ownedBy(t, string(action), err, b, a)
	}
	if n := writes.Load(); n > 0 {
		t.Errorf("%d requests were made that write", n)
	}

	// A clone and a preview of another environment of its pipeline.
	source := runtime.EnvironmentKey{Pipeline: b.Pipeline, Name: "main"}
	t.Cleanup(func() { deleteNamespace(client(t, config), source.Namespace()) })
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(source, container("two"))})
	must(t, explainedRun(err))
	writes.Store(0)
	for _, branch := range []string{"", "topic"} {
		_, err = rt.Clone(t.Context(), runtime.CloneRequest{Source: source, Name: b.Name, Branch: branch})
		ownedBy(t, "Clone", err, b, a)
	}
	if n := writes.Load(); n > 0 {
		t.Errorf("%d requests of a clone were made that write", n)
	}
	if after := inventory(t, client(t, config), a.Namespace()); !slices.Equal(after, before) {
		t.Errorf("there is %q, was %q", after, before)
	}
}

// collided deploys two environments into one namespace, as an older version of pipe did: it
// labelled the namespace for the first one, and did not label releases.
func collided(t *testing.T) (a, b runtime.EnvironmentKey) {
	t.Helper()
	config := testenv.Cluster(t)
	c := client(t, config)
	a, b = twins(t)
	label := func(key runtime.EnvironmentKey) {
		patch := `{"metadata":{"labels":{"` + runtime.LabelPipeline + `":"` + key.Pipeline + `","` + runtime.LabelEnvironment + `":"` + key.Name + `"},"annotations":null}}`
		_, err := c.CoreV1().Namespaces().Patch(t.Context(), a.Namespace(), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		must(t, err)
	}
	for i, key := range []runtime.EnvironmentKey{a, b} {
		if i > 0 {
			label(key)
		}
		p := planFor(key, container("web"+mark(key)), database("db"+mark(key)), container("old"+mark(key)))
		_, err := runtimeOn(t, config).Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p})
		must(t, explainedRun(err))
		p = planFor(key, p.Services[:2]...) // the plan no longer has the others
		_, err = runtimeOn(t, config).Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p})
		must(t, explainedRun(err))
	}
	label(a)
	secrets, err := c.CoreV1().Secrets(a.Namespace()).List(t.Context(), metav1.ListOptions{LabelSelector: "owner=helm"})
	must(t, err)
	for _, s := range secrets.Items {
		delete(s.Labels, runtime.LabelPipeline)
		delete(s.Labels, runtime.LabelEnvironment)
		_, err := c.CoreV1().Secrets(s.Namespace).Update(t.Context(), &s, metav1.UpdateOptions{})
		must(t, err)
	}
	return a, b
}

// mark is the suffix of the names of the services of an environment of twins.
func mark(key runtime.EnvironmentKey) string {
	if key.Name == "pr" {
		return "-second"
	}
	return "-first"
}

// thoseOf returns the elements of all that belong to an environment.
func thoseOf(all []string, key runtime.EnvironmentKey) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool {
		return !strings.Contains(s, mark(key)) && !strings.Contains(s, " pipe."+key.Pipeline+"."+key.Name)
	})
}

// TestCollided: of two environments in one namespace, from before namespaces had owners,
// each sees, prunes and deletes only its own objects, and when one is deleted, the other one
// owns the namespace.
func TestCollided(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	c := client(t, config)
	for name, first := range map[string]int{"the second goes": 1, "the first goes": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := collided(t)
			namespace, rt := a.Namespace(), runtimeOn(t, config)
			for _, key := range []runtime.EnvironmentKey{a, b} {
				orphans, err := rt.Orphans(t.Context(), key)
				if err != nil || !slices.Equal(orphans, []runtime.Place{{Namespace: namespace, Name: "old" + mark(key)}}) {
					t.Errorf("Orphans(%v) = %v, %v", key, orphans, err)
				}
				live, err := newInspector(t, config).Live(t.Context(), &runtime.Environment{Key: key})
				must(t, err)
				if len(live) != 3 || live[runtime.Place{Namespace: namespace, Name: "web" + mark(key)}] == nil || live[runtime.Place{Namespace: namespace, Name: "web" + mark(key)}].Deployed.Owner != key {
					t.Errorf("Live(%v) = %v", key, live)
				}
			}
			_, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Stop, Environment: b})
			ownedBy(t, "Stop of the second", err, b, a)
			var owned *runtime.OwnedError
			if errors.As(err, &owned) && !owned.Exists {
				t.Error("the error does not say that the environment is there")
			}
			theirs := thoseOf(inventory(t, c, namespace), b)
			if len(theirs) < 9 {
				t.Fatalf("there is only %q of %v", theirs, b)
			}
			record, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: a, Prune: true})
			if must(t, explainedRun(err)); !slices.Equal(record.Pruned, []string{"old" + mark(a)}) || record.Services[0].State != runtime.Unchanged {
				t.Errorf("a run of the first pruned %v: %+v", record.Pruned, record.Services)
			}
			if now := thoseOf(inventory(t, c, namespace), b); !slices.Equal(now, theirs) {
				t.Errorf("a run of the first changed the second: there is %q, was %q", now, theirs)
			}

			keys := []runtime.EnvironmentKey{a, b}
			going, staying := keys[first], keys[1-first]
			want := thoseOf(inventory(t, c, namespace), staying)
			_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Delete, Environment: going})
			must(t, explainedRun(err))
			all := inventory(t, c, namespace)
			if left := thoseOf(all, going); len(left) > 0 {
				t.Errorf("of %v is left %q", going, left)
			}
			if now := thoseOf(all, staying); !slices.Equal(now, want) {
				t.Errorf("the deletion of %v changed %v: there is %q, was %q", going, staying, now, want)
			}
			_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staying})
			must(t, explainedRun(err))
			_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(going, container("x"))})
			ownedBy(t, "Run of the one that is gone", err, going, staying)
			_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Delete, Environment: staying})
			must(t, explainedRun(err))
			if _, err := c.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{}); err == nil {
				t.Errorf("the namespace is there, with %q", inventory(t, c, namespace))
			}
		})
	}
}

// TestFirstOwners: of two concurrent first runs, one gets the namespace, and the other one
// leaves nothing in it.
func TestFirstOwners(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	c := client(t, config)
	for range 5 {
		a, b := twins(t)
		keys, errs := []runtime.EnvironmentKey{a, b}, make([]error, 2)
		var wg sync.WaitGroup
		for i, key := range keys {
			rt := runtimeOn(t, config)
			wg.Go(func() {
				_, errs[i] = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(key, container("api"))})
			})
		}
		wg.Wait()
		winner := slices.Index(errs, nil)
		if winner < 0 {
			t.Fatalf("nobody has the namespace: %v, %v", explainedRun(errs[0]), explainedRun(errs[1]))
		}
		won, lost := keys[winner], keys[1-winner]
		ownedBy(t, "Run", errs[1-winner], lost, won)
		deployed, err := runtimeOn(t, config).Deployer.Deployed(t.Context(), a.Namespace())
		if err != nil || deployed["api"].Owner != won || deployed["api"].Revision != 1 {
			t.Errorf("%+v, %v is deployed, want one revision for %v", deployed, err, won)
		}
		for _, s := range inventory(t, c, a.Namespace()) {
			if strings.Contains(s, " pipe."+lost.Pipeline+"."+lost.Name) {
				t.Errorf("%v left %s", lost, s)
			}
		}
	}
}

// TestOwnerWithoutRights: a run that cannot read namespaces is rejected because of the
// records of the first environment.
func TestOwnerWithoutRights(t *testing.T) {
	t.Parallel()
	key := made(t)
	rules := slices.Clone(leastRole(t))
	rules = slices.DeleteFunc(rules, func(r rbacv1.PolicyRule) bool { return r.Resources[0] == "namespaces" })
	rt := runtimeOn(t, limited(t, key.Namespace(), rules...))
	_, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(key, container("one"))})
	must(t, explainedRun(err))
	other := key.Namesakes()[0]
	before := inventory(t, client(t, testenv.Cluster(t)), key.Namespace())
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(other, container("two"))})
	ownedBy(t, "Run", err, other, key)
	if after := inventory(t, client(t, testenv.Cluster(t)), key.Namespace()); !slices.Equal(after, before) {
		t.Errorf("there is %q, was %q", after, before)
	}
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Delete, Environment: key})
	must(t, explainedRun(err))
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(other, container("two"))})
	must(t, explainedRun(err))
}

// TestTakeOver: releases of another tool are neither changed nor deleted unless take-over is
// requested.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	c := client(t, config)
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("take"), Name: "dev"}
	t.Cleanup(func() { deleteNamespace(c, key.Namespace()) })
	rt := runtimeOn(t, config)
	run := func(req runtime.Request) (*runtime.RunRecord, error) {
		t.Helper()
		return rt.Run(t.Context(), req)
	}
	_, err := run(runtime.Request{Action: runtime.Deploy, Plan: planFor(key, container("api"))})
	must(t, explainedRun(err))
	secret, err := c.CoreV1().Secrets(key.Namespace()).Get(t.Context(), "sh.helm.release.v1.api.v1", metav1.GetOptions{})
	must(t, err)
	for label := range secret.Labels { // as the helm command creates it
		if strings.HasPrefix(label, "pipelinefile.github.io/") {
			delete(secret.Labels, label)
		}
	}
	_, err = c.CoreV1().Secrets(key.Namespace()).Update(t.Context(), secret, metav1.UpdateOptions{})
	must(t, err)

	p := planFor(key, with(container("api"), "two"), container("web"))
	_, err = run(runtime.Request{Action: runtime.Deploy, Plan: p})
	ownedBy(t, "Run", err, key, runtime.EnvironmentKey{})
	if record, err := run(runtime.Request{Action: runtime.Stop, Environment: key}); err != nil || record.Services[0].State != runtime.Unchanged {
		t.Errorf("Stop = %+v, %v", record, err)
	}
	deployed := func() runtime.Deployed {
		t.Helper()
		all, err := rt.Deployer.Deployed(t.Context(), key.Namespace())
		must(t, err)
		return all["api"]
	}
	if d := deployed(); d.Revision != 1 || d.Stopped {
		t.Errorf("%+v is deployed", d)
	}
	_, err = run(runtime.Request{Action: runtime.Delete, Environment: key})
	must(t, explainedRun(err))
	if d := deployed(); d.Revision != 1 {
		t.Errorf("after the deletion %+v is deployed", d)
	}
	_, err = run(runtime.Request{Action: runtime.Deploy, Plan: p, Adopt: true})
	must(t, explainedRun(err))
	if d := deployed(); d.Owner != key || d.Revision != 2 || !d.Ready {
		t.Errorf("taken over %+v is deployed", d)
	}
	_, err = run(runtime.Request{Action: runtime.Deploy, Plan: p})
	must(t, explainedRun(err))
	_, err = run(runtime.Request{Action: runtime.Delete, Environment: key})
	must(t, explainedRun(err))
	if d := deployed(); d.Revision != 0 {
		t.Errorf("after the last deletion %+v is deployed", d)
	}
}

// TestStateElsewhere: an environment whose state is in a common namespace can be changed
// only by a run that names this namespace (E1).
func TestStateElsewhere(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	c := client(t, config)
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("else"), Name: "dev"}
	states := runtimetest.Unique("states")
	t.Cleanup(func() {
		deleteNamespace(c, key.Namespace())
		deleteNamespace(c, states)
	})
	rt, plain := runtimeOn(t, config), runtimeOn(t, config)
	s := store.Open(c, store.Options{Namespace: states})
	rt.Store, rt.Locker = s, s
	_, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(key, container("api"))})
	must(t, explainedRun(err))
	before := inventory(t, c, key.Namespace())
	for _, req := range []runtime.Request{
		{Action: runtime.Deploy, Plan: planFor(key, container("api"))},
		{Action: runtime.Stop, Environment: key},
		{Action: runtime.Delete, Environment: key},
	} {
		var elsewhere *runtime.ElsewhereError
		if _, err := plain.Run(t.Context(), req); !errors.As(err, &elsewhere) || elsewhere.Namespace != states {
			t.Errorf("%s = %v, want an ElsewhereError that names %s", req.Action, err, states)
		}
	}
	if after := inventory(t, c, key.Namespace()); !slices.Equal(after, before) {
		t.Errorf("there is %q, was %q", after, before)
	}
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Delete, Environment: key})
	must(t, explainedRun(err))
	_, err = plain.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(key, container("api"))})
	must(t, explainedRun(err))
}

// TestTwinKills kills processes at their first writes into a namespace that another
// environment would also use, and at those of a deletion: the namespace has one owner at any
// time, which owns everything in it (A6, E6).
func TestTwinKills(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	limit := make(chan struct{}, 3)
	for turn := range max(*kills/5, 4) {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			a, b := twins(t)
			killTwins(t, runtimeOn(t, config), a, b, int64(1+turn/2), turn%2 == 1)
		})
	}
}

// killTwins kills the process that creates one of two environments, and then the one that
// deletes it. The other environment is deployed after each of them.
func killTwins(t *testing.T, rt *runtime.Runtime, a, b runtime.EnvironmentKey, write int64, after bool) {
	f := fate{Action: "deploy 1", Key: a, Write: write, After: after}
	if !f.run(t) {
		t.Errorf("%v: nobody was killed", f)
	}
	second := complete(t, rt, b, "deploy 1")
	first := complete(t, rt, a, "deploy 1")
	has, other, refused := a, b, second
	if second == nil {
		has, other, refused = b, a, first
	}
	if first != nil && second != nil {
		t.Errorf("%v: nobody has the namespace: %v, %v", f, first, second)
		return
	}
	ownedBy(t, f.String(), refused, other, has)
	(&victim{t: t, client: client(t, testenv.Cluster(t)), key: has}).check("deploy 1")

	f = fate{Action: "delete", Key: has, Write: write * 2, After: after}
	f.run(t)
	early := complete(t, rt, other, "deploy 1")
	if early != nil {
		ownedBy(t, f.String(), early, other, has)
	}
	var owned *runtime.OwnedError
	if err := complete(t, rt, has, "delete"); err != nil && !(early == nil && errors.As(err, &owned) && owned.Owner == other) {
		t.Errorf("%v: once more = %v", f, err)
	}
	if err := complete(t, rt, other, "deploy 1"); err != nil {
		t.Errorf("%v: then the other one = %v", f, err)
	}
	(&victim{t: t, client: client(t, testenv.Cluster(t)), key: other}).check("deploy 1")
}
