package ui

import (
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/runtime/sbom"
)

// TestSBOM: what is known of each image, and why not more; what images say is made safe.
func TestSBOM(t *testing.T) {
	t.Parallel()
	one, two := sbom.Package{Name: "a", Version: "1"}, sbom.Package{Name: "b\x1b[2J"}
	inv := &sbom.Inventory{Advice: "do this", Images: []sbom.Image{
		{Service: "api", Image: "r/api@sha256:1", Packages: []sbom.Package{one, two}, Formats: []sbom.Format{sbom.CycloneDX, sbom.SPDX}},
		{Service: "api", Name: "side", Image: "r/side@sha256:2", Packages: []sbom.Package{one}, Formats: []sbom.Format{sbom.SPDX}, Without: []string{"linux/arm64\x1b[2J"}},
		{Service: "cache", Image: "r/cache@sha256:3", Why: sbom.None},
		{Service: "tagged", Image: "r/tagged:1", Why: sbom.ByTag},
		{Service: "chart", Why: sbom.UnknownImages},
		{Service: "bad", Image: "r/bad@sha256:4", Formats: []sbom.Format{sbom.SPDX}, Why: sbom.Unreadable, Error: "half\x1b[2J a blob"},
	}}
	var b strings.Builder
	if err := SBOM(&b, inv); err != nil {
		t.Fatal(err)
	}
	const want = `SERVICE     PACKAGES  SBOM                                                            IMAGE
api         2         CycloneDX, SPDX                                                 r/api@sha256:1
api (side)  1         SPDX, none for linux/arm64                                      r/side@sha256:2
cache       -         none                                                            r/cache@sha256:3
tagged      -         not known: deployed by tag                                      r/tagged:1
chart       -         not known: the images of its chart or manifests are not copied
bad         0         SPDX, not read                                                  r/bad@sha256:4

2 packages
do this
bad: r/bad@sha256:4: not read: half a blob
`
	if got := b.String(); got != want {
		t.Errorf("SBOM wrote\n%s\nwant\n%s", got, want)
	}
	b.Reset()
	if err := SBOM(&b, &sbom.Inventory{}); err != nil || b.String() != "no image is deployed\n" {
		t.Errorf("SBOM wrote %q, %v", b.String(), err)
	}
}
