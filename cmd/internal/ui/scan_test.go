package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/scan"
)

// TestScan: the reports of the images, each finding once; what scanners say is made safe.
func TestScan(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	bad := scan.Finding{Finding: runtime.Finding{ID: "CVE-2026-1", Severity: plan.RiskCritical, Package: "openssl\x1b[2J", Version: "1.1", Fixed: "1.2"}, Above: true}
	ignored := scan.Finding{Finding: runtime.Finding{ID: "CVE-2026-2", Severity: plan.RiskCritical}, Ignored: "not reachable"}
	low := scan.Finding{Finding: runtime.Finding{ID: "CVE-2026-3", Severity: plan.RiskLow, Package: "zlib"}}
	inv := &scan.Inventory{Max: plan.RiskHigh, Images: []scan.Image{
		{Service: "api", Image: "r/api@sha256:1", At: at, Findings: []scan.Finding{bad, low}},
		{Service: "api", Name: "side", Image: "r/side@sha256:2", At: at, Findings: []scan.Finding{bad, ignored}},
		{Service: "cache", Image: "r/cache@sha256:3", Why: scan.None},
		{Service: "tagged", Image: "r/tagged:1", Why: scan.ByTag},
		{Service: "chart", Why: scan.UnknownImages},
		{Service: "bad", Image: "r/bad@sha256:4", Why: scan.Unreadable, Error: "no\x1b[2J answer"},
	}}
	var b strings.Builder
	if err := Scan(&b, inv); err != nil {
		t.Fatal(err)
	}
	const want = `SERVICE     SCANNED                                                         CRITICAL  HIGH  MEDIUM  LOW  UNKNOWN  IMAGE
api         2026-03-01T12:00:00Z                                            1         0     0       1    0        r/api@sha256:1
api (side)  2026-03-01T12:00:00Z                                            2         0     0       0    0        r/side@sha256:2
cache       never                                                           -         -     -       -    -        r/cache@sha256:3
tagged      not known: deployed by tag                                      -         -     -       -    -        r/tagged:1
chart       not known: the images of its chart or manifests are not copied  -         -     -       -    -
bad         not read                                                        -         -     -       -    -        r/bad@sha256:4

SEVERITY  ID          PACKAGE  VERSION  FIXED  SERVICES
critical  CVE-2026-1  openssl  1.1      1.2    api, api (side)  above max
critical  CVE-2026-2  -        -        -      api (side)       ignored: not reachable
low       CVE-2026-3  zlib     -        -      api

3 findings, 1 above max="high"
bad: r/bad@sha256:4: not read: no answer
`
	if got := b.String(); got != want {
		t.Errorf("Scan wrote\n%s\nwant\n%s", got, want)
	}
	b.Reset()
	if err := Scan(&b, &scan.Inventory{}); err != nil || b.String() != "no image is deployed\n" {
		t.Errorf("Scan wrote %q, %v", b.String(), err)
	}
	for want, event := range map[string]runtime.Scanned{
		"scanned r/api@sha1: no findings":                 {Image: "r/api@sha1"},
		"scanned sha256:1: 1 critical, 2 high, 5 unknown": {Image: "r/api@sha256:1", Critical: 1, High: 2, Unknown: 5},
		"scanned sha256:1: 3 medium, 4 low":               {Image: "r/api@sha256:1", Medium: 3, Low: 4},
	} {
		if got := scannedText(event); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
