package runtimetest

import (
	"errors"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// testDeployerStart starts a stopped service, without a deploy.
func testDeployerStart(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "api", "one")
	key := dt.prepared(t, s)
	r := dt.release(t, key, s, image)
	if err := dt.Deployer.Act(t.Context(), runtime.Start, r, discard); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Start of what was never deployed = %v, want ErrNotFound", err)
	}
	dt.deploy(t, r)
	want := dt.deployed(t, key)["api"]
	if err := dt.Deployer.Act(t.Context(), runtime.Stop, r, discard); err != nil {
		t.Fatalf("Stop = %v", err)
	}
	if d := dt.deployed(t, key)["api"]; !d.Stopped || d.Ready {
		t.Errorf("Deployed after a stop = %+v, want it stopped and not ready", d)
	}
	for range 2 { // a service that is not stopped is not changed
		if err := dt.Deployer.Act(t.Context(), runtime.Start, r, discard); err != nil {
			t.Fatalf("Start = %v", err)
		}
		if d := dt.deployed(t, key)["api"]; d != want {
			t.Errorf("Deployed after a start = %+v, want what it was before the stop: %+v", d, want)
		}
	}
}

// environment returns an environment with one service, its plan and the service's release.
func (dt DeployerTest) environment(t *testing.T, s plan.Service, image string) (key runtime.EnvironmentKey, p *plan.Plan, r runtime.Release) {
	t.Helper()
	key = dt.key(t)
	p = &plan.Plan{
		Version:     plan.Version,
		Pipeline:    plan.Pipeline{Name: key.Pipeline},
		Environment: plan.EnvironmentRef{Name: key.Name},
		Services:    []plan.Service{s},
	}
	return key, p, dt.release(t, key, s, image)
}

// remove removes an environment, and returns the number of warnings.
func (dt DeployerTest) remove(t *testing.T, key runtime.EnvironmentKey, keepVolumes bool) (warned int) {
	t.Helper()
	err := dt.Deployer.Remove(t.Context(), key, nil, keepVolumes, func(b runtime.Body) {
		if _, ok := b.(runtime.Warned); ok {
			warned++
		}
	})
	if err != nil {
		t.Fatalf("Remove(%s) = %v", key.Namespace(), err)
	}
	return warned
}

// testDeployerKeepVolumes removes an environment except its volumes: the namespace is kept
// with them, until they are removed too (D6).
func testDeployerKeepVolumes(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "db", "one")
	s.Workload.Volumes = []plan.Volume{{Path: "/data", Name: "data", Size: "1Gi"}}
	key, p, r := dt.environment(t, s, image)
	if err := dt.Deployer.Prepare(t.Context(), key, p); err != nil {
		t.Fatalf("Prepare(%s) = %v", key.Namespace(), err)
	}
	for range 2 { // the kept volumes can be used by the next environment
		dt.deploy(t, r)
		if err := dt.Deployer.Act(t.Context(), runtime.Delete, r, discard); err != nil {
			t.Fatalf("Delete = %v", err)
		}
		if n := dt.remove(t, key, true); n == 0 {
			t.Errorf("Remove kept a namespace for its volumes and did not say so")
		}
	}
	if n := dt.remove(t, key, false); n != 0 {
		t.Errorf("Remove of the volumes, too, warned %d times", n)
	}
	if err := dt.Deployer.Act(t.Context(), runtime.Deploy, r, discard); err == nil {
		t.Errorf("Deploy into an environment that was removed succeeded")
	}
}

// testDeployerRemove removes environments: one that does not exist, one with a release in it,
// which is kept, and an empty one.
func testDeployerRemove(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "api", "one")
	key, p, r := dt.environment(t, s, image)
	if n := dt.remove(t, key, false); n != 0 {
		t.Errorf("Remove of what is not there warned %d times", n)
	}
	for range 2 { // it can be recreated
		if err := dt.Deployer.Prepare(t.Context(), key, p); err != nil {
			t.Fatalf("Prepare(%s) = %v", key.Namespace(), err)
		}
		dt.deploy(t, r)
		if n := dt.remove(t, key, false); n == 0 {
			t.Errorf("Remove kept a namespace with a release in it and did not say so")
		}
		if d := dt.deployed(t, key); !d["api"].Ready {
			t.Fatalf("Deployed after Remove = %v, want api, which was not deleted", d)
		}
		if err := dt.Deployer.Act(t.Context(), runtime.Delete, r, discard); err != nil {
			t.Fatalf("Delete = %v", err)
		}
		for range 2 {
			if n := dt.remove(t, key, false); n != 0 {
				t.Errorf("Remove of an environment without anything left warned %d times", n)
			}
		}
		// The namespace is deleted: no deploy is possible before it is recreated.
		if err := dt.Deployer.Act(t.Context(), runtime.Deploy, r, discard); err == nil {
			t.Errorf("Deploy into an environment that was removed succeeded")
		}
	}
}

// testDeployerOwner has two environments with the same namespace: the first one owns it, and
// no operation on the other one changes what is in it (E6).
func testDeployerOwner(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "api", "one")
	key, p, r := dt.environment(t, s, image)
	if err := dt.Deployer.Prepare(t.Context(), key, p); err != nil {
		t.Fatalf("Prepare(%v) = %v", key, err)
	}
	dt.deploy(t, r)
	want := dt.deployed(t, key)["api"]
	if want.Owner != key {
		t.Errorf("the owner of the release is %v, want %v", want.Owner, key)
	}

	other := runtime.EnvironmentKey{Pipeline: key.Pipeline + "-a", Name: "test"}
	if other.Namespace() != key.Namespace() {
		t.Fatalf("%v and %v have two namespaces", key, other)
	}
	theirs := *p
	theirs.Pipeline.Name, theirs.Environment.Name = other.Pipeline, other.Name
	s, image = dt.Service(t, "api", "two")
	release := dt.release(t, other, s, image)
	for name, err := range map[string]error{
		"Prepare": dt.Deployer.Prepare(t.Context(), other, &theirs),
		"Deploy":  dt.Deployer.Act(t.Context(), runtime.Deploy, release, discard),
		"Stop":    dt.Deployer.Act(t.Context(), runtime.Stop, release, discard),
		"Start":   dt.Deployer.Act(t.Context(), runtime.Start, release, discard),
		"Restart": dt.Deployer.Act(t.Context(), runtime.Restart, release, discard),
		"Delete":  dt.Deployer.Act(t.Context(), runtime.Delete, release, discard),
	} {
		var owned *runtime.OwnedError
		if !errors.As(err, &owned) || owned.Owner != key || owned.Key != other {
			t.Errorf("%s for %v = %v, want an OwnedError that names %v", name, other, err, key)
		}
	}
	for _, keepVolumes := range []bool{true, false} {
		if n := dt.remove(t, other, keepVolumes); n == 0 {
			t.Errorf("Remove kept the namespace of another environment and did not say so")
		}
	}
	if got := dt.deployed(t, key)["api"]; got != want {
		t.Errorf("Deployed = %+v, want what it was: %+v", got, want)
	}

	// After the first environment is removed, the next one owns the namespace.
	if err := dt.Deployer.Act(t.Context(), runtime.Delete, r, discard); err != nil {
		t.Fatalf("Delete = %v", err)
	}
	dt.remove(t, key, false)
	if err := dt.Deployer.Prepare(t.Context(), other, &theirs); err != nil {
		t.Fatalf("Prepare(%v) = %v", other, err)
	}
	dt.deploy(t, release)
	var owned *runtime.OwnedError
	if err := dt.Deployer.Prepare(t.Context(), key, p); !errors.As(err, &owned) {
		t.Errorf("Prepare(%v) = %v, want an OwnedError", key, err)
	}
	if err := dt.Deployer.Act(t.Context(), runtime.Delete, release, discard); err != nil {
		t.Errorf("Delete = %v", err)
	}
	dt.remove(t, other, false)
}

// testDeployerFurther deploys a service into a namespace of its own (E9): Prepare creates it,
// and Remove deletes it when it is empty.
func testDeployerFurther(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "api", "one")
	s.Namespace = "{pipeline}-{environment}-further"
	key, p, r := dt.environment(t, s, image)
	further := key.NamespaceOf(&s)
	r.Namespace, r.Home = further, key.Namespace()
	var err error
	if r.Fingerprint, err = dt.Deployer.Fingerprint(t.Context(), r); err != nil {
		t.Fatalf("Fingerprint = %v", err)
	}
	remove := func() (warned int) {
		t.Helper()
		err := dt.Deployer.Remove(t.Context(), key, []string{further}, false, func(b runtime.Body) {
			if _, ok := b.(runtime.Warned); ok {
				warned++
			}
		})
		if err != nil {
			t.Fatalf("Remove(%v) = %v", key, err)
		}
		return warned
	}
	if n := remove(); n != 0 {
		t.Errorf("Remove of what is not there warned %d times", n)
	}
	for range 2 { // it is idempotent
		if err := dt.Deployer.Prepare(t.Context(), key, p); err != nil {
			t.Fatalf("Prepare(%v) = %v", key, err)
		}
	}
	dt.deploy(t, r)
	if d := dt.deployed(t, key); len(d) > 0 {
		t.Errorf("the namespace of the environment has %v", d)
	}
	if d := dt.deployed(t, key.At(further))["api"]; !d.Ready || d.Owner != key || d.Fingerprint != r.Fingerprint {
		t.Errorf("the further namespace has %+v, want it ready, of %v, with fingerprint %s", d, key, r.Fingerprint)
	}

	// What another environment has there is left alone.
	other := dt.key(t)
	theirs := dt.release(t, other, s, image)
	theirs.Namespace, theirs.Home = further, other.Namespace()
	var owned *runtime.OwnedError
	if err := dt.Deployer.Act(t.Context(), runtime.Deploy, theirs, discard); !errors.As(err, &owned) || owned.Owner != key {
		t.Errorf("Deploy of another environment = %v, want an OwnedError that names %v", err, key)
	}
	if n := remove(); n == 0 {
		t.Errorf("Remove kept a namespace with a release in it and did not say so")
	}
	if err := dt.Deployer.Prepare(t.Context(), key, p); err != nil {
		t.Fatalf("Prepare(%v) = %v", key, err)
	}
	for _, action := range []runtime.Action{runtime.Restart, runtime.Stop, runtime.Start, runtime.Delete} {
		if err := dt.Deployer.Act(t.Context(), action, r, discard); err != nil {
			t.Errorf("%s = %v", action, err)
		}
	}
	for range 2 {
		if n := remove(); n != 0 {
			t.Errorf("Remove of an environment without anything left warned %d times", n)
		}
	}
	if err := dt.Deployer.Act(t.Context(), runtime.Deploy, r, discard); err == nil {
		t.Errorf("Deploy into a namespace that was removed succeeded")
	}
}
