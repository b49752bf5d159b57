package runtimetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A DeployerTest configures TestDeployer.
type DeployerTest struct {
	Deployer runtime.Deployer
	// Pipeline returns the name of a pipeline that has no environment yet. It must make sure
	// that the namespace of its environment "a-test" is deleted after the test.
	Pipeline func(t *testing.T) string
	// Service returns a service with that name that becomes ready quickly. variant changes
	// the pod template, for example with an annotation, so that two variants differ in what
	// is deployed. image is the image of its release, by digest.
	Service func(t *testing.T, name, variant string) (s plan.Service, image string)
	// Naming returns a service with that name and MirrorImages whose pods name these images,
	// one container each, and become ready quickly.
	Naming func(t *testing.T, name string, images ...string) plan.Service
	// SetSecret creates a Secret with these keys in the namespace of an environment, as
	// another user would, or adds the keys to an existing one.
	SetSecret func(t *testing.T, key runtime.EnvironmentKey, name string, keys ...string)
	// Broken returns a service with that name that never becomes ready, which the deployer
	// must detect. If it is nil, failures are not tested, for example on a cluster that runs
	// no containers.
	Broken func(t *testing.T, name string) (s plan.Service, image string)
	// Refused returns two versions of a service with that name. The cluster accepts the
	// second only if the first is not deployed.
	Refused func(t *testing.T, name string) (before, after plan.Service, image string)
}

// TestDeployer checks the contract of [runtime.Deployer].
func TestDeployer(t *testing.T, dt DeployerTest) {
	t.Run("nothing", func(t *testing.T) { testDeployerNothing(t, dt) })
	t.Run("deploy", func(t *testing.T) { testDeployerDeploy(t, dt) })
	t.Run("fingerprint", func(t *testing.T) { testDeployerFingerprint(t, dt) })
	t.Run("images", func(t *testing.T) { testDeployerImages(t, dt) })
	t.Run("secrets", func(t *testing.T) { testDeployerSecrets(t, dt) })
	t.Run("concurrent", func(t *testing.T) { testDeployerAtOnce(t, dt) })
	t.Run("stop", func(t *testing.T) { testDeployerStop(t, dt) })
	t.Run("start", func(t *testing.T) { testDeployerStart(t, dt) })
	t.Run("delete", func(t *testing.T) { testDeployerDelete(t, dt) })
	t.Run("remove", func(t *testing.T) { testDeployerRemove(t, dt) })
	t.Run("further namespace", func(t *testing.T) { testDeployerFurther(t, dt) })
	t.Run("keep volumes", func(t *testing.T) { testDeployerKeepVolumes(t, dt) })
	t.Run("owner", func(t *testing.T) { testDeployerOwner(t, dt) })
	t.Run("check", func(t *testing.T) { testDeployerCheck(t, dt) })
	t.Run("cancelled", func(t *testing.T) { testDeployerCancelled(t, dt) })
	if dt.Broken != nil {
		t.Run("broken", func(t *testing.T) { testDeployerBroken(t, dt) })
	}
}

// prepared returns an environment whose namespace is ready for services without secrets.
func (dt DeployerTest) prepared(t *testing.T, services ...plan.Service) runtime.EnvironmentKey {
	t.Helper()
	key := dt.key(t)
	p := &plan.Plan{
		Version:  plan.Version,
		Pipeline: plan.Pipeline{Name: key.Pipeline},
		Services: services,
	}
	for range 2 { // it is idempotent
		if err := dt.Deployer.Prepare(t.Context(), key, p); err != nil {
			t.Fatalf("Prepare(%v) = %v", key, err)
		}
	}
	return key
}

// key returns the key of an environment that does not exist.
func (dt DeployerTest) key(t *testing.T) runtime.EnvironmentKey {
	t.Helper()
	return runtime.EnvironmentKey{Pipeline: dt.Pipeline(t), Name: "a-test"}
}

// release returns a release with its fingerprint.
func (dt DeployerTest) release(t *testing.T, key runtime.EnvironmentKey, s plan.Service, image string) runtime.Release {
	t.Helper()
	r := runtime.Release{
		Pipeline: key.Pipeline, Environment: key.Name, Namespace: key.Namespace(),
		Service: s, Image: image, OnFailure: runtime.Rollback,
	}
	fingerprint, err := dt.Deployer.Fingerprint(t.Context(), r)
	if err != nil {
		t.Fatalf("Fingerprint(%s) = %v", s.Name, err)
	}
	r.Fingerprint = fingerprint
	return r
}

func (dt DeployerTest) deployed(t *testing.T, key runtime.EnvironmentKey) map[string]runtime.Deployed {
	t.Helper()
	d, err := dt.Deployer.Deployed(t.Context(), key.Namespace())
	if err != nil {
		t.Fatalf("Deployed(%s) = %v", key.Namespace(), err)
	}
	return d
}

func (dt DeployerTest) deploy(t *testing.T, r runtime.Release) {
	t.Helper()
	if err := dt.Deployer.Act(t.Context(), runtime.Deploy, r, discard); err != nil {
		t.Fatalf("Deploy(%s) = %v", r.Service.Name, err)
	}
}

func testDeployerNothing(t *testing.T, dt DeployerTest) {
	if d := dt.deployed(t, dt.key(t)); len(d) != 0 {
		t.Errorf("Deployed of a namespace that does not exist = %v", d)
	}
	if d := dt.deployed(t, dt.prepared(t)); len(d) != 0 {
		t.Errorf("Deployed of an empty namespace = %v", d)
	}
}

func testDeployerDeploy(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "api", "one")
	key := dt.prepared(t, s)
	r := dt.release(t, key, s, image)
	dt.deploy(t, r)
	want := runtime.Deployed{Fingerprint: r.Fingerprint, Ready: true, Status: "deployed", Revision: 1, Owner: key}
	if got := dt.deployed(t, key)["api"]; got != want {
		t.Errorf("Deployed = %+v, want %+v", got, want)
	}
	s, image = dt.Service(t, "api", "two")
	r2 := dt.release(t, key, s, image)
	dt.deploy(t, r2)
	want = runtime.Deployed{Fingerprint: r2.Fingerprint, Ready: true, Status: "deployed", Revision: 2, Owner: key}
	if got := dt.deployed(t, key)["api"]; got != want {
		t.Errorf("Deployed after an upgrade = %+v, want %+v", got, want)
	}
}

func testDeployerCheck(t *testing.T, dt DeployerTest) {
	before, after, image := dt.Refused(t, "db")
	key := dt.prepared(t, before)
	accepts := func(s plan.Service, image string) {
		t.Helper()
		if _, err := dt.Deployer.Check(t.Context(), dt.release(t, key, s, image), discard); err != nil {
			t.Errorf("Check(%s) = %v", s.Name, err)
		}
	}
	accepts(before, image)
	accepts(after, image) // there is no release that it would change
	if d := dt.deployed(t, key); len(d) != 0 {
		t.Errorf("Check has deployed %v", d)
	}
	dt.deploy(t, dt.release(t, key, before, image))
	accepts(before, image)
	was := dt.deployed(t, key)["db"]
	_, err := dt.Deployer.Check(t.Context(), dt.release(t, key, after, image), discard)
	var refused *runtime.RefusedError
	if !errors.As(err, &refused) || refused.Release != "db" || len(refused.Changes) == 0 {
		t.Errorf("Check of what the cluster refuses = %v, want a RefusedError", err)
	}
	if is := dt.deployed(t, key)["db"]; is != was {
		t.Errorf("after Check %+v is deployed, before it was %+v", is, was)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, err := dt.Deployer.Check(ctx, dt.release(t, key, after, image), discard); !errors.Is(err, stopped) && !errors.Is(err, context.Canceled) {
		t.Errorf("Check when it is cancelled = %v", err)
	}
	one, image := dt.Service(t, "api", "one")
	dt.deploy(t, dt.release(t, key, one, image))
	two, image := dt.Service(t, "api", "two")
	accepts(two, image)
}

func testDeployerFingerprint(t *testing.T, dt DeployerTest) {
	key := dt.key(t)
	one, image := dt.Service(t, "api", "one")
	two, image2 := dt.Service(t, "api", "two")
	a := dt.release(t, key, one, image)
	if b := dt.release(t, key, one, image); b.Fingerprint != a.Fingerprint {
		t.Errorf("two fingerprints of one release: %s, %s", a.Fingerprint, b.Fingerprint)
	}
	if b := dt.release(t, key, two, image2); b.Fingerprint == a.Fingerprint {
		t.Errorf("two releases of one fingerprint: %s", a.Fingerprint)
	}
	again := a // with its fingerprint set
	if got, err := dt.Deployer.Fingerprint(t.Context(), again); err != nil || got != a.Fingerprint {
		t.Errorf("the fingerprint depends on the fingerprint: %s, %s, %v", a.Fingerprint, got, err)
	}
	if image != "" {
		other := runtime.ByDigest(image, plan.DigestOf([]byte("other")))
		if b := dt.release(t, key, one, other); b.Fingerprint == a.Fingerprint {
			t.Errorf("the fingerprint does not depend on the image")
		}
		several := func(image string) runtime.Release {
			b := dt.release(t, key, one, image)
			b.Images = map[string]string{"proxy": image}
			return b
		}
		b, c := several(image), several(runtime.ByDigest(image, plan.DigestOf([]byte("other"))))
		c.Image = b.Image
		of := func(r runtime.Release) plan.Digest {
			digest, err := dt.Deployer.Fingerprint(t.Context(), r)
			if err != nil {
				t.Error(err)
			}
			return digest
		}
		if of(b) == a.Fingerprint || of(b) == of(c) {
			t.Errorf("the fingerprint does not depend on the other images")
		}
	}
	// The position and the stage of a service do not change its fingerprint.
	moved := one
	moved.Pos, moved.Stage = plan.Pos{File: "other.star", Line: 9}, "other"
	if b := dt.release(t, key, moved, image); b.Fingerprint != a.Fingerprint {
		t.Errorf("the fingerprint depends on where the service is declared")
	}
}

func testDeployerAtOnce(t *testing.T, dt DeployerTest) {
	names := []string{"a", "b", "c", "d", "e", "f", "g"}
	var services []plan.Service
	images := make(map[string]string)
	for _, name := range names {
		s, image := dt.Service(t, name, "one")
		services = append(services, s)
		images[name] = image
	}
	key := dt.prepared(t, services...)
	var wg sync.WaitGroup
	for _, s := range services {
		r := dt.release(t, key, s, images[s.Name])
		wg.Go(func() {
			if err := dt.Deployer.Act(t.Context(), runtime.Deploy, r, discard); err != nil {
				t.Errorf("Deploy(%s) = %v", s.Name, err)
			}
		})
	}
	wg.Wait()
	d := dt.deployed(t, key)
	for _, name := range names {
		if !d[name].Ready || d[name].Revision != 1 {
			t.Errorf("Deployed[%s] = %+v", name, d[name])
		}
	}
}

func testDeployerStop(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "api", "one")
	key := dt.prepared(t, s)
	r := dt.release(t, key, s, image)
	dt.deploy(t, r)
	if err := dt.Deployer.Act(t.Context(), runtime.Restart, r, discard); err != nil {
		t.Errorf("Restart = %v", err)
	}
	if err := dt.Deployer.Act(t.Context(), "explode", r, discard); err == nil {
		t.Errorf("Act of an unknown action succeeded")
	}
	for range 2 {
		if err := dt.Deployer.Act(t.Context(), runtime.Stop, r, discard); err != nil {
			t.Errorf("Stop = %v", err)
		}
	}
	// A stopped release must not count as up to date.
	if d := dt.deployed(t, key)["api"]; d.Ready && d.Fingerprint == r.Fingerprint {
		t.Errorf("a stopped release would be left unchanged by a deploy: %+v", d)
	}
	dt.deploy(t, r)
	if d := dt.deployed(t, key)["api"]; !d.Ready || d.Fingerprint != r.Fingerprint {
		t.Errorf("Deployed after a deploy of what was stopped = %+v", d)
	}
}

func testDeployerDelete(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "api", "one")
	other, otherImage := dt.Service(t, "web", "one")
	key := dt.prepared(t, s, other)
	r := dt.release(t, key, s, image)
	dt.deploy(t, r)
	dt.deploy(t, dt.release(t, key, other, otherImage))
	for range 2 {
		if err := dt.Deployer.Act(t.Context(), runtime.Delete, r, discard); err != nil {
			t.Errorf("Delete = %v", err)
		}
	}
	d := dt.deployed(t, key)
	if _, there := d["api"]; there || !d["web"].Ready {
		t.Errorf("Deployed after the delete of api = %+v, want web alone", d)
	}
	dt.deploy(t, r)
}

// testDeployerCancelled cancels a deploy at several moments: in each case the next deploy
// works, and no release is left in a pending state.
func testDeployerCancelled(t *testing.T, dt DeployerTest) {
	s, image := dt.Service(t, "api", "one")
	key := dt.prepared(t, s)
	r := dt.release(t, key, s, image)
	for i := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		var mu sync.Mutex
		if i == 0 {
			cancel()
		}
		err := dt.Deployer.Act(ctx, runtime.Deploy, r, func(runtime.Body) {
			mu.Lock()
			defer mu.Unlock()
			if seen++; seen == i {
				cancel()
			}
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Deploy that was cancelled = %v, want context.Canceled", err)
		}
		if i == 0 && err == nil {
			t.Errorf("Deploy with a cancelled context succeeded")
		}
		cancel()
		switch status := dt.deployed(t, key)["api"].Status; status {
		case "", "deployed", "failed", "superseded", "uninstalled":
		default:
			t.Errorf("after a cancelled deploy the release is %s", status)
		}
	}
	dt.deploy(t, r)
	if d := dt.deployed(t, key)["api"]; !d.Ready || d.Status != "deployed" {
		t.Errorf("Deployed = %+v, want ready", d)
	}
}

func testDeployerBroken(t *testing.T, dt DeployerTest) {
	good, image := dt.Service(t, "api", "one")
	broken, brokenImage := dt.Broken(t, "api")
	first, firstImage := dt.Broken(t, "first")
	key := dt.prepared(t, good, first)
	r := dt.release(t, key, good, image)
	dt.deploy(t, r)

	fails := func(r runtime.Release) *runtime.ReleaseError {
		t.Helper()
		err := dt.Deployer.Act(t.Context(), runtime.Deploy, r, discard)
		var release *runtime.ReleaseError
		if !errors.As(err, &release) {
			t.Fatalf("Deploy of what is broken = %v, want a ReleaseError", err)
		}
		if release.Release != r.Service.Name || len(release.Evidence) == 0 {
			t.Errorf("the error is about %q with the evidence %q", release.Release, release.Evidence)
		}
		return release
	}
	bad := dt.release(t, key, broken, brokenImage)
	if e := fails(bad); e.RolledBack != 1 {
		t.Errorf("gone back to revision %d, want 1", e.RolledBack)
	}
	if d := dt.deployed(t, key)["api"]; d.Fingerprint == bad.Fingerprint && d.Ready {
		t.Errorf("what failed would be left unchanged by a deploy: %+v", d)
	}
	bad.OnFailure = runtime.Keep
	if e := fails(bad); e.RolledBack != 0 {
		t.Errorf("gone back to revision %d, want none", e.RolledBack)
	}
	if d := dt.deployed(t, key)["api"]; d.Ready {
		t.Errorf("what failed and was kept is ready: %+v", d)
	}
	// After a first deploy, there is no revision to roll back to.
	if e := fails(dt.release(t, key, first, firstImage)); e.RolledBack != 0 {
		t.Errorf("gone back to revision %d, want none", e.RolledBack)
	}
	dt.deploy(t, r)
	if d := dt.deployed(t, key)["api"]; !d.Ready || d.Fingerprint != r.Fingerprint {
		t.Errorf("Deployed after the good one again = %+v", d)
	}
}
