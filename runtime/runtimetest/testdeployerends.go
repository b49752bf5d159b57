package runtimetest

import (
	"errors"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// testDeployerStart takes stops back, without anything being deployed.
func testDeployerStart(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "api", "one")
	namespace := dt.prepared(t, s)
	r := dt.release(t, namespace, s, image)
	if err := dt.Deployer.Start(t.Context(), r, discard); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Start of what was never deployed = %v, want ErrNotFound", err)
	}
	dt.deploy(t, r)
	want := dt.deployed(t, namespace)["api"]
	if err := dt.Deployer.Stop(t.Context(), r, discard); err != nil {
		t.Fatalf("Stop = %v", err)
	}
	if d := dt.deployed(t, namespace)["api"]; !d.Stopped || d.Ready {
		t.Errorf("Deployed after a stop = %+v, want it stopped and not ready", d)
	}
	for range 2 { // what is not stopped is left as it is
		if err := dt.Deployer.Start(t.Context(), r, discard); err != nil {
			t.Fatalf("Start = %v", err)
		}
		if d := dt.deployed(t, namespace)["api"]; d != want {
			t.Errorf("Deployed after a start = %+v, want what it was before the stop: %+v", d, want)
		}
	}
}

// environment returns the plan of an environment of one service, and its release.
func (dt DeployerTest) environment(t *testing.T, s plan.Service, image string) (key runtime.EnvironmentKey, p *plan.Plan, r runtime.Release) {
	t.Helper()
	key = runtime.EnvironmentKey{Pipeline: dt.Namespace(t), Name: "test"}
	p = &plan.Plan{
		Version:     plan.Version,
		Pipeline:    plan.Pipeline{Name: key.Pipeline},
		Environment: plan.EnvironmentRef{Name: key.Name},
		Services:    []plan.Service{s},
	}
	r = dt.release(t, key.Namespace(), s, image)
	r.Pipeline, r.Environment = key.Pipeline, key.Name
	return key, p, r
}

// remove removes an environment, and returns how often it warned.
func (dt DeployerTest) remove(t *testing.T, key runtime.EnvironmentKey, keepVolumes bool) (warned int) {
	t.Helper()
	err := dt.Deployer.Remove(t.Context(), key, keepVolumes, func(b runtime.Body) {
		if _, ok := b.(runtime.Warned); ok {
			warned++
		}
	})
	if err != nil {
		t.Fatalf("Remove(%s) = %v", key.Namespace(), err)
	}
	return warned
}

// testDeployerKeepVolumes removes an environment but for its volumes: with them
// stays the namespace, until they go, too (D6).
func testDeployerKeepVolumes(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "db", "one")
	s.Workload.Volumes = []plan.Volume{{Path: "/data", Name: "data", Size: "1Gi"}}
	key, p, r := dt.environment(t, s, image)
	if err := dt.Deployer.Prepare(t.Context(), key.Namespace(), p); err != nil {
		t.Fatalf("Prepare(%s) = %v", key.Namespace(), err)
	}
	for range 2 { // what was kept is there for the next one
		dt.deploy(t, r)
		if err := dt.Deployer.Delete(t.Context(), r, discard); err != nil {
			t.Fatalf("Delete = %v", err)
		}
		if n := dt.remove(t, key, true); n == 0 {
			t.Errorf("Remove kept a namespace for its volumes and did not say so")
		}
	}
	if n := dt.remove(t, key, false); n != 0 {
		t.Errorf("Remove of the volumes, too, warned %d times", n)
	}
	if err := dt.Deployer.Deploy(t.Context(), r, discard); err == nil {
		t.Errorf("Deploy into an environment that was removed succeeded")
	}
}

// testDeployerRemove ends environments: one of which nothing is left, one that
// was never there, and one with a release in it, which stays.
func testDeployerRemove(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "api", "one")
	key, p, r := dt.environment(t, s, image)
	if n := dt.remove(t, key, false); n != 0 {
		t.Errorf("Remove of what is not there warned %d times", n)
	}
	for range 2 { // it can be made anew
		if err := dt.Deployer.Prepare(t.Context(), key.Namespace(), p); err != nil {
			t.Fatalf("Prepare(%s) = %v", key.Namespace(), err)
		}
		dt.deploy(t, r)
		if n := dt.remove(t, key, false); n == 0 {
			t.Errorf("Remove kept a namespace with a release in it and did not say so")
		}
		if d := dt.deployed(t, key.Namespace()); !d["api"].Ready {
			t.Fatalf("Deployed after Remove = %v, want api, which was not deleted", d)
		}
		if err := dt.Deployer.Delete(t.Context(), r, discard); err != nil {
			t.Fatalf("Delete = %v", err)
		}
		for range 2 {
			if n := dt.remove(t, key, false); n != 0 {
				t.Errorf("Remove of an environment of which nothing is left warned %d times", n)
			}
		}
		// The namespace is gone: nothing can be deployed before it is made anew.
		if err := dt.Deployer.Deploy(t.Context(), r, discard); err == nil {
			t.Errorf("Deploy into an environment that was removed succeeded")
		}
	}
}
