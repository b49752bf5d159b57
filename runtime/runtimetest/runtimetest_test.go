package runtimetest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// The implementations in this package satisfy the contracts.

func TestStore(t *testing.T) {
	w := runtimetest.NewWorld()
	runtimetest.TestStore(t, func(*testing.T) runtime.Store { return w.Store })
}

func TestLocker(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Locker.Expiry = 300 * time.Millisecond
	runtimetest.TestLocker(t, runtimetest.LockerTest{
		Open: func(t *testing.T) (runtime.Locker, func()) {
			l := w.Locker.Another()
			return l, l.Kill
		},
		Expiry: 2 * time.Second,
	})
}

func TestRegistry(t *testing.T) {
	w := runtimetest.NewWorld()
	fresh := func() plan.Digest { return plan.DigestOf([]byte(runtimetest.Unique("image"))) }
	runtimetest.TestRegistry(t, runtimetest.RegistryTest{
		Claims:   true,
		Registry: w.Registry,
		Push: func(t *testing.T, ref string) plan.Digest {
			digest := fresh()
			w.Registry.Push(ref, digest)
			return digest
		},
		Upstream: func(t *testing.T, name string) (string, plan.Digest) {
			src, digest := "upstream.test/"+name, fresh()
			w.Registry.Upstream(src, digest)
			return src, digest
		},
		Missing: "upstream.test/none:1",
	})
}

func TestSignatures(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Signatures.Give("one")
	w.Signatures.Give("other")
	key := func(name string) plan.Signing { return plan.Signing{Key: plan.SecretRef{Name: name}} }
	runtimetest.TestSignatures(t, runtimetest.SignaturesTest{
		Signatures: w.Signatures, One: key("one"), Other: key("other"), Missing: key("missing"),
		Push: func(*testing.T) string {
			return "registry.test/web@" + string(plan.DigestOf([]byte(runtimetest.Unique("image"))))
		},
	})
}

func TestScans(t *testing.T) {
	w := runtimetest.NewWorld()
	findings := []runtime.Finding{{ID: "CVE-2026-1", Severity: plan.RiskHigh, Package: "openssl", Version: "1"}}
	runtimetest.TestScans(t, runtimetest.ScansTest{
		Scans: w.Scans, With: plan.Scan{Image: "scanner", Command: []string{"scan"}, Max: plan.RiskLow}, Findings: findings,
		Push: func(*testing.T) string {
			digest := plan.DigestOf([]byte(runtimetest.Unique("image")))
			w.Scans.Find(digest, findings...)
			return "registry.test/web@" + string(digest)
		},
	})
}

func TestBuilder(t *testing.T) {
	w := runtimetest.NewWorld()
	spec := func(t *testing.T) plan.BuildSpec {
		path := runtimetest.Unique("source")
		return plan.BuildSpec{ID: path, Source: plan.Source{Path: path}, Context: ".", Dockerfile: "Dockerfile"}
	}
	w.Takes = func(op, subject string) time.Duration {
		if subject == "slow" {
			return time.Hour
		}
		return 0
	}
	runtimetest.TestBuilder(t, runtimetest.BuilderTest{
		Builder:  w.Builder,
		Registry: w.Registry,
		Spec:     spec,
		Change: func(t *testing.T, b plan.BuildSpec) {
			w.Builder.SetSource(b.Source.Path, runtimetest.Unique("content"))
		},
		Broken: func(t *testing.T) plan.BuildSpec {
			b := spec(t)
			b.Dockerfile = runtimetest.BrokenDockerfile
			return b
		},
		Slow: func(t *testing.T) plan.BuildSpec {
			b := spec(t)
			b.ID = "slow"
			return b
		},
	})
}

func TestDeployer(t *testing.T) {
	w := runtimetest.NewWorld()
	image := "registry.test/api@" + string(plan.DigestOf(nil))
	w.Registry.Push("registry.test/api:1", plan.DigestOf(nil))
	runtimetest.TestDeployer(t, runtimetest.DeployerTest{
		Deployer: w.Deployer,
		Pipeline: func(*testing.T) string { return runtimetest.Unique("contract") },
		SetSecret: func(_ *testing.T, key runtime.EnvironmentKey, name string, keys ...string) {
			w.Deployer.SetSecret(key.Namespace(), name, keys...)
		},
		Service: func(t *testing.T, name, variant string) (plan.Service, string) {
			return plan.Service{Name: name, Values: map[string]any{"variant": variant}}, image
		},
		Naming: func(t *testing.T, name string, images ...string) plan.Service {
			var list []any
			for i, ref := range images {
				list = append(list, ref)
				w.Registry.Push(fmt.Sprintf("registry.test/mirror/one:%d", i), plan.Digest(fmt.Sprintf("sha256:%064d", i)))
			}
			return plan.Service{Name: name, Values: plan.Values{runtimetest.ImagesValue: list}, MirrorImages: true}
		},
		Refused: func(t *testing.T, name string) (before, after plan.Service, img string) {
			return plan.Service{Name: name}, plan.Service{Name: name, Values: map[string]any{runtimetest.RefusedValue: true}}, image
		},
		Broken: func(t *testing.T, name string) (plan.Service, string) {
			return plan.Service{Name: name, Chart: &plan.Chart{Ref: runtimetest.CrashingChart}}, image
		},
	})
}
