package runtime_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

func scanWith(max plan.Risk, ignore ...plan.Exception) *plan.Scan {
	return &plan.Scan{
		Image: "registry.test/scanner@" + string(plan.DigestOf([]byte("scanner"))), Command: []string{"scan"}, Max: max,
		Every: plan.Duration(24 * time.Hour), Ignore: ignore, Pos: plan.Pos{File: "Pipelinefile", Line: 3, Col: 9},
	}
}

var (
	critical = runtime.Finding{ID: "CVE-2026-1", Severity: plan.RiskCritical, Package: "openssl", Version: "1.1", Fixed: "1.2"}
	medium   = runtime.Finding{ID: "CVE-2026-2", Severity: plan.RiskMedium, Package: "zlib", Version: "1"}
	unrated  = runtime.Finding{ID: "CVE-2026-3", Severity: plan.RiskUnknown}
)

// deployedDigest returns the digest of the image of a service that was deployed.
func deployedDigest(t *testing.T, w *runtimetest.World, service string) plan.Digest {
	t.Helper()
	_, _, digest := plan.CutImage(w.Deployer.Releases("shop-staging")[service].Image)
	return plan.Digest(digest)
}

// TestScan: an image is scanned once before it is deployed, and again when its report is too old; a
// run without a change looks its report up (I14).
func TestScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		redis := plan.DigestOf([]byte("redis"))
		w.Registry.Upstream("redis:7", redis)
		w.Scans.Find(redis, medium, critical)
		p := pipeline(2)
		app(p, 1, "api")
		service(p, 2, "cache", plan.ImageSource{Mirror: "redis:7"})
		p.Pipeline.Scan = scanWith(plan.RiskCritical)
		for i, want := range []struct {
			after   time.Duration
			scans   int
			state   runtime.State
			scanned int
		}{
			{0, 2, runtime.Done, 2},
			{time.Hour, 2, runtime.Unchanged, 0},
			{24 * time.Hour, 4, runtime.Unchanged, 2},
		} {
			time.Sleep(want.after)
			var events []runtime.Scanned
			steps, err := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
			if err != nil || len(steps) != 2 || len(steps[0].Scans) != want.scanned/2 || strings.Contains(steps[1].Why, "scanned") != (want.scanned > 0) {
				t.Errorf("preview %d = %+v, %v, want scans %d", i, steps, err, want.scanned)
			}
			lookups := w.Count("Scans.Report")
			record, err := run(t, w, runtime.Request{Plan: p, Events: func(e runtime.Event) {
				if b, ok := e.Body.(runtime.Scanned); ok {
					events = append(events, b)
				}
			}})
			if err != nil || states(record)["cache"] != want.state || record.Scanned != want.scanned || len(events) != want.scanned {
				t.Fatalf("run %d = %+v, %v with %d events, want %v, %d scanned", i, record, err, len(events), want.state, want.scanned)
			}
			if n := w.Count("Scans.Scan"); n != want.scans {
				t.Errorf("run %d: %d scans so far, want %d", i, n, want.scans)
			}
			if n := w.Count("Scans.Report") - lookups; n != 2 {
				t.Errorf("run %d: %d lookups, want one an image", i, n)
			}
			if want.scanned > 0 && events[1] != (runtime.Scanned{Image: w.Deployer.Releases("shop-staging")["cache"].Image, Critical: 1, Medium: 1}) {
				t.Errorf("run %d: %+v", i, events[1])
			}
		}
		// Another scanner is another report.
		p.Pipeline.Scan.Command = []string{"other"}
		if record, err := run(t, w, runtime.Request{Plan: p}); err != nil || record.Scanned != 2 {
			t.Errorf("run with another scanner = %+v, %v", record, err)
		}
	})
}

// TestScanStops: a finding above the maximum stops the service before anything of it is written, in the
// run that finds it, and before the run writes anything if it is known.
func TestScanStops(t *testing.T) {
	w := runtimetest.NewWorld()
	redis := plan.DigestOf([]byte("redis"))
	w.Registry.Upstream("redis:7", redis)
	w.Scans.Find(redis, critical, medium, unrated)
	p := pipeline(1)
	app(p, 1, "api")
	service(p, 1, "cache", plan.ImageSource{Mirror: "redis:7"})
	p.Pipeline.Scan = scanWith(plan.RiskHigh)
	record, err := run(t, w, runtime.Request{Plan: p})
	var found *runtime.FindingsError
	if !errors.As(err, &found) || len(found.Findings) != 1 || w.Count("Deployer.Deploy") != 0 || states(record)["cache"] != runtime.Failed {
		t.Fatalf("run = %v, %+v with %d deploys, want a FindingsError and none", err, record, w.Count("Deployer.Deploy"))
	}
	for _, part := range []string{
		"redis:7 (" + string(redis) + `) has a finding above max="high" of scan() at Pipelinefile:3:9: CVE-2026-1 (critical) in openssl 1.1, fixed: 1.2`,
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("run: %v, want %q", err, part)
		}
	}
	if advice, _ := runtime.AdviceOf(err); !strings.Contains(advice.Do, `exception("CVE-2026-1"`) {
		t.Errorf("advice %q", advice.Do)
	}
	refused(t, w, p, "CVE-2026-1")
	p.Pipeline.Scan.Max = plan.RiskMedium // one that is not rated counts as high
	refused(t, w, p, `has 2 findings above max="medium"`, "CVE-2026-3 (unknown)")
	p.Pipeline.Scan.Max = plan.RiskNone
	refused(t, w, p, `has 3 findings above max="none"`)
	p.Pipeline.Scan.Max = plan.RiskCritical
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Error(err)
	}
}

// TestScanException: an exception permits a finding until its last day is over.
func TestScanException(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		redis := plan.DigestOf([]byte("redis"))
		w.Registry.Upstream("redis:7", redis)
		w.Scans.Find(redis, critical)
		p := pipeline(1)
		service(p, 1, "cache", plan.ImageSource{Mirror: "redis:7"})
		until := time.Now().UTC().Format(time.DateOnly)
		p.Pipeline.Scan = scanWith(plan.RiskHigh, plan.Exception{ID: "cve-2026-1", Reason: "not reachable", Until: until, Pos: plan.Pos{File: "Pipelinefile", Line: 4, Col: 5}})
		p.Pipeline.Scan.Every = plan.Duration(1000 * time.Hour)
		if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Hour)
		var warned []string
		// What is deployed already is not stopped: nothing of it is deployed.
		record, err := run(t, w, runtime.Request{Plan: p, Events: func(e runtime.Event) {
			if b, ok := e.Body.(runtime.Warned); ok {
				warned = append(warned, b.Diagnostic.Message)
			}
		}})
		if err != nil || states(record)["cache"] != runtime.Unchanged {
			t.Errorf("run = %+v, %v, want unchanged", record, err)
		}
		if len(warned) != 2 || !strings.Contains(warned[0], "it is deployed already") || warned[1] != "the exception for cve-2026-1 ended on "+until+": it has no effect" {
			t.Errorf("warnings %q", warned)
		}
		_, err = run(t, w, runtime.Request{Plan: p, Force: true})
		if err == nil || !strings.Contains(err.Error(), "the exception for cve-2026-1 at Pipelinefile:4:5 ended on "+until) {
			t.Errorf("run with --force = %v", err)
		}
		p.Pipeline.Scan.Ignore = append(p.Pipeline.Scan.Ignore, plan.Exception{ID: "CVE-2026-1", Until: "2999-01-01"})
		if _, err := run(t, w, runtime.Request{Plan: p, Force: true}); err != nil {
			t.Error(err)
		}
	})
}

// TestScanLater: a vulnerability that becomes known later does not stop what is deployed, but what
// would be deployed with the image, and not a rollback.
func TestScanLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		p := pipeline(2)
		app(p, 1, "api")
		service(p, 2, "worker", plan.ImageSource{Build: "api"})
		p.Pipeline.Scan = scanWith(plan.RiskHigh)
		first, err := run(t, w, runtime.Request{Plan: p})
		if err != nil {
			t.Fatal(err)
		}
		bad := deployedDigest(t, w, "api")
		w.Scans.Find(bad, critical)
		time.Sleep(25 * time.Hour)
		if record, err := run(t, w, runtime.Request{Plan: p}); err != nil || record.Scanned != 1 || states(record)["worker"] != runtime.Unchanged {
			t.Fatalf("run = %+v, %v", record, err)
		}
		// worker changes, and api does not: in the next stage, the same image stops it.
		changed := *p
		changed.Services = append([]plan.Service(nil), p.Services...)
		changed.Services[1].Workload.Replicas = 2
		refused(t, w, &changed, "CVE-2026-1")
		time.Sleep(25 * time.Hour)
		record, err := run(t, w, runtime.Request{Plan: &changed})
		if err == nil || states(record)["api"] == runtime.Failed || states(record)["worker"] == runtime.Done || states(record)["worker"] != runtime.Failed || record.Scanned != 1 {
			t.Errorf("run of an old report = %+v, %v", record, err)
		}

		w.Builder.SetSource("api", "fixed")
		if _, err := run(t, w, runtime.Request{Plan: p}); err != nil || deployedDigest(t, w, "api") == bad {
			t.Fatalf("run = %v", err)
		}
		scans := w.Count("Scans.Scan")
		req, err := w.Runtime().Rollback(t.Context(), runtime.Request{Environment: staging, RollbackTo: first.ID})
		if err != nil {
			t.Fatal(err)
		}
		if record, err := run(t, w, req); err != nil || deployedDigest(t, w, "api") != bad || w.Count("Scans.Scan") != scans {
			t.Errorf("rollback = %+v, %v with %d scans", record, err, w.Count("Scans.Scan")-scans)
		}
	})
}

// TestScanFails: an image whose scan fails is not deployed, and the next run scans it again.
func TestScanFails(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	app(p, 1, "web")
	p.Pipeline.Scan = scanWith(plan.RiskHigh)
	fail := "Scans.Scan"
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == fail {
			return errors.New("no report")
		}
		return nil
	}
	_, err := run(t, w, runtime.Request{Plan: p})
	if err == nil || !strings.Contains(err.Error(), "scan image of web: no report") || w.Count("Deployer.Deploy") != 0 {
		t.Errorf("run = %v with %d deploys", err, w.Count("Deployer.Deploy"))
	}
	fail = "Scans.Report"
	refused(t, w, p, "look for the report of image of web, which scan() at Pipelinefile:3:9 requires: no report")
	fail = ""
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil || w.Count("Builder.Build") != 1 {
		t.Errorf("second run = %v with %d builds", err, w.Count("Builder.Build"))
	}
	rt := w.Runtime()
	rt.Scans = nil
	if _, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p}); err == nil || !strings.Contains(err.Error(), "cannot scan images") {
		t.Errorf("run without scans = %v", err)
	}
	if _, err := run(t, w, runtime.Request{Action: runtime.Delete, Plan: p}); err != nil {
		t.Error(err)
	}
}

// TestScanExternal: an image that is not copied is scanned where it is, and one whose digest is not
// known is refused.
func TestScanExternal(t *testing.T) {
	w := runtimetest.NewWorld()
	web := plan.DigestOf([]byte("web"))
	w.Registry.Upstream("ghcr.io/acme/web:1", web)
	w.Scans.Find(web, critical)
	p := pipeline(1)
	service(p, 1, "web", plan.ImageSource{Ref: "ghcr.io/acme/web:1"})
	p.Pipeline.Scan = scanWith(plan.RiskHigh)
	if _, err := run(t, w, runtime.Request{Plan: p}); err == nil || !strings.Contains(err.Error(), "CVE-2026-1") || w.Count("Deployer.Deploy") != 0 {
		t.Errorf("run = %v", err)
	}
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Registry.Resolve" {
			return runtime.ErrUnreachable
		}
		return nil
	}
	refused(t, w, p, "ghcr.io/acme/web:1 cannot be scanned, as scan() at Pipelinefile:3:9 requires, because its digest is not known: unreachable")
}

// TestScanBase: an image that only others are built from is not deployed, so it is not scanned.
func TestScanBase(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	app(p, 1, "web")
	p.Builds = append(p.Builds, plan.BuildSpec{ID: "base", Source: plan.Source{Path: "base"}, Context: ".", Dockerfile: "Dockerfile"})
	p.Builds[0].ImageArgs = map[string]plan.ImageSource{"BASE": {Build: "base"}}
	p.Pipeline.Scan = scanWith(plan.RiskHigh)
	if record, err := run(t, w, runtime.Request{Plan: p}); err != nil || record.Scanned != 1 || w.Count("Builder.Build") != 2 {
		t.Errorf("run = %+v, %v with %d builds", record, err, w.Count("Builder.Build"))
	}
}

// TestScanShortInterval: a report that becomes too old during the run decides for this run.
func TestScanShortInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		redis := plan.DigestOf([]byte("redis"))
		w.Registry.Upstream("redis:7", redis)
		w.Takes = func(string, string) time.Duration { return time.Hour }
		w.Scans.Find(redis, critical)
		p := pipeline(2)
		app(p, 1, "api")
		service(p, 2, "cache", plan.ImageSource{Mirror: "redis:7"})
		p.Pipeline.BuildAhead = true
		p.Pipeline.Scan = scanWith(plan.RiskHigh)
		p.Pipeline.Scan.Every = plan.Duration(time.Second)
		for range 2 {
			record, err := run(t, w, runtime.Request{Plan: p})
			if err == nil || states(record)["cache"] == runtime.Done {
				t.Errorf("run = %+v, %v", record, err)
			}
		}
	})
}

// TestScanCharts: the images that charts name are scanned, also those that they name only when they are
// deployed, with and without a report.
func TestScanCharts(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	s := withChart(w, p, 1, "web", "nginx:1")
	p.Pipeline.Scan = scanWith(plan.RiskHigh)
	w.Scans.Find(plan.DigestOf([]byte("nginx:1")), critical)
	_, err := run(t, w, runtime.Request{Plan: p})
	if err == nil || !strings.Contains(err.Error(), "chart charts/web: ") || !strings.Contains(err.Error(), "CVE-2026-1") || w.Count("Deployer.Deploy") != 0 {
		t.Errorf("run = %v with %d deploys", err, w.Count("Deployer.Deploy"))
	}
	if advice, _ := runtime.AdviceOf(err); strings.Contains(advice.Do, "keep") {
		t.Errorf("advice %q", advice.Do)
	}
	refused(t, w, p, "CVE-2026-1")
	w.Scans.Find(plan.DigestOf([]byte("nginx:1")))
	p.Pipeline.Scan.Command = []string{"again"}
	w.Registry.Upstream("late:1", plan.DigestOf([]byte("late:1")))
	w.Scans.Find(plan.DigestOf([]byte("late:1")), critical)
	s.Values[runtimetest.LateImagesValue] = []any{"late:1"}
	for i := range 2 { // the second run finds the report
		_, err := run(t, w, runtime.Request{Plan: p})
		if err == nil || !strings.Contains(err.Error(), "late:1") || !strings.Contains(err.Error(), "CVE-2026-1") || len(w.Deployer.Releases("shop-staging")) != 0 {
			t.Errorf("run %d = %v with releases %v", i, err, w.Deployer.Releases("shop-staging"))
		}
	}
	w.Scans.Find(plan.DigestOf([]byte("late:1")), medium)
	p.Pipeline.Scan.Command = []string{"once more"}
	if record, err := run(t, w, runtime.Request{Plan: p}); err != nil || record.Scanned != 2 {
		t.Errorf("run = %+v, %v", record, err)
	}
}
