package local

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// pinned returns a shell in an image, by digest.
func pinned(t *testing.T) string {
	t.Helper()
	ref, err := name.ParseReference(testenv.Busybox(t))
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	return ref.Context().Digest(d.Digest.String()).String()
}

// newScans returns scans on a real builder that keep reports in a real registry.
func newScans(t *testing.T) (*scans, *registry.Registry) {
	t.Helper()
	images, err := registry.New(registry.Options{Prefix: testenv.Registry(t) + "/scans"})
	if err != nil {
		t.Fatal(err)
	}
	builder := build.New(build.Options{Addresses: []string{testenv.BuildKit(t)}})
	t.Cleanup(func() {
		if err := builder.Close(); err != nil {
			t.Error(err)
		}
	})
	sign := newSignatures(images, nil, Options{})
	return &scans{images: images, mirror: images.Mirror, run: builder.Scan, again: sign.again}, images
}

// sarif is a scanner that finds what a file of the image says, in the form of a line with the
// identifier and the score of each vulnerability.
const sarif = `cd $(PIPE_ROOTFS) && { printf '{"version":"2.1.0","runs":[{"tool":{"driver":{"rules":['
comma=; cat vulnerable 2>/dev/null | while read id score; do printf '%s{"id":"%s","properties":{"security-severity":"%s"}}' "$comma" $id $score; comma=,; done
printf ']}},"results":['
comma=; cat vulnerable 2>/dev/null | while read id score; do printf '%s{"ruleId":"%s","message":{"text":"Package: openssl\\nInstalled Version: 1"}}' "$comma" $id; comma=,; done
printf ']}]}'; } >$(PIPE_REPORT)`

// TestScans: scans of a real builder keep the contract, in this registry and for images of others (I14).
func TestScans(t *testing.T) {
	t.Parallel()
	s, _ := newScans(t)
	for _, prefix := range []string{"scans/web", "elsewhere/web"} {
		n := 0
		runtimetest.TestScans(t, runtimetest.ScansTest{
			Scans: s, With: plan.Scan{Image: pinned(t), Command: []string{"sh", "-c", sarif}, Max: plan.RiskLow},
			Findings: []runtime.Finding{
				{ID: "CVE-2026-1", Severity: plan.RiskCritical, Package: "openssl", Version: "1"},
				{ID: "CVE-2026-2", Severity: plan.RiskMedium, Package: "openssl", Version: "1"},
			},
			Push: func(t *testing.T) string {
				n++
				return testenv.Image(t, prefix, []testenv.File{{Path: "vulnerable", Data: []byte("CVE-2026-2 5.0\nCVE-2026-1 9.8\n")}, {Path: "n", Data: fmt.Appendf(nil, "%s %d", prefix, n)}})
			},
		})
	}
}

// TestScanUnusable: a report that does not say what was found is an error, and is not kept.
func TestScanUnusable(t *testing.T) {
	t.Parallel()
	s, _ := newScans(t)
	ref := testenv.Image(t, "scans/unusable", []testenv.File{{Path: "a", Data: []byte("a")}})
	with := plan.Scan{Image: pinned(t), Max: plan.RiskHigh, Pos: plan.Pos{File: "Pipelinefile", Line: 3, Col: 8}}
	for script, want := range map[string]string{
		"echo '{}' >$PIPE_REPORT": "the report of the scanner of scan() at Pipelinefile:3:8 cannot be used: it is neither SARIF",
		"exit 1":                  "exit",
		`echo '{"bomFormat":"CycloneDX","specVersion":"1.6"}' >$PIPE_REPORT`: "has listed packages only",
	} {
		with.Command = []string{"sh", "-c", script}
		_, err := s.Scan(t.Context(), with, ref, nil, func(runtime.Body) {})
		if _, advised := runtime.AdviceOf(err); err == nil || !strings.Contains(err.Error(), want) || !advised {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
		if _, err := s.Report(t.Context(), with, ref); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("%s: Report = %v, want ErrNotFound", script, err)
		}
	}
	with.Image = testenv.Registry(t) + "/missing@" + string(plan.DigestOf(nil))
	if _, err := s.Scan(t.Context(), with, ref, nil, func(runtime.Body) {}); err == nil || !strings.Contains(err.Error(), "copy the scanner ") {
		t.Errorf("a missing scanner: %v", err)
	}
}

// TestScanned: each image of an environment, with its findings or why they are not known.
func TestScanned(t *testing.T) {
	t.Parallel()
	up := upstream(t, "none", "good", "bad")
	reg, err := registry.New(registry.Options{Prefix: up + "/kept"})
	if err != nil {
		t.Fatal(err)
	}
	image := func() string {
		img, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		ref, err := name.NewDigest(up + "/kept/app@" + digest.String())
		if err == nil {
			err = remote.Write(ref, img)
		}
		if err != nil {
			t.Fatal(err)
		}
		return ref.String()
	}
	with := plan.Scan{Image: "scanner", Command: []string{"scan"}, Max: plan.RiskMedium, Ignore: []plan.Exception{{ID: "CVE-2", Reason: "why", Until: "2999-01-01"}}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	good := image()
	if err := reg.KeepReport(t.Context(), good, with.Key(), &runtime.ScanReport{At: at, Findings: []runtime.Finding{
		{ID: "CVE-1", Severity: plan.RiskLow}, {ID: "CVE-2", Severity: plan.RiskHigh}, {ID: "CVE-3\x1b", Severity: plan.RiskHigh, Package: "a"},
	}}); err != nil {
		t.Fatal(err)
	}
	env := &runtime.Environment{Key: runtime.EnvironmentKey{Pipeline: "shop", Name: "main"}, Plan: &plan.Plan{}, Images: map[string]string{}}
	for _, s := range [][2]string{{"1 good", good}, {"2 again", good}, {"3 none", image()}, {"4 tag", up + "/app:none"}, {"5 away", up + "/kept/UPPER@" + string(plan.DigestOf(nil))}} {
		env.Plan.Services = append(env.Plan.Services, plan.Service{Name: s[0], Image: plan.ImageSource{Mirror: "x"}})
		env.Images[s[0]] = s[1]
	}
	rt := &Runtime{images: reg}
	sign := newSignatures(reg, nil, Options{})
	rt.Scans = &scans{images: reg, again: sign.again}
	if _, err := rt.Scanned(t.Context(), env, nil); !errors.Is(err, ErrNoScan) {
		t.Errorf("Scanned without scan= = %v", err)
	}
	env.Plan.Pipeline.Scan = &with
	inv, err := rt.Scanned(t.Context(), env, nil)
	if err != nil || inv.Failed() != 1 || inv.Max != plan.RiskMedium {
		t.Fatalf("Scanned = %+v, %v", inv, err)
	}
	for i, want := range []string{
		"1 good 2026-01-02 03:04:05 +0000 UTC [{CVE-2 (high) false why} {CVE-3 (high) in a true } {CVE-1 (low) false }] ",
		"2 again 2026-01-02 03:04:05 +0000 UTC [{CVE-2 (high) false why} {CVE-3 (high) in a true } {CVE-1 (low) false }] ",
		"3 none 0001-01-01 00:00:00 +0000 UTC [] none ", "4 tag 0001-01-01 00:00:00 +0000 UTC [] by-tag ", "5 away 0001-01-01 00:00:00 +0000 UTC [] unreadable ",
	} {
		im := inv.Images[i]
		var all []string
		for _, f := range im.Findings {
			all = append(all, fmt.Sprintf("{%s %t %s}", f.Finding, f.Above, f.Ignored))
		}
		if got := fmt.Sprintf("%s %v %v %s", im.Service, im.At, all, im.Why); !strings.HasPrefix(got+" ", want) {
			t.Errorf("image %d is %q, want %q", i, got, want)
		}
	}
}
