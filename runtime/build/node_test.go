package build

import "testing"

// TestHasMinor: a builder that would fail a build because of the answer is not asked to
// report its sources.
func TestHasMinor(t *testing.T) {
	for version, want := range map[string]bool{
		"v0.26.3": false, "0.11.6": false, "v0.9.3-rc1": false, "0.12.5+ds1": false, "v0.26.0-12-gabcdef": false,
		"v0.27.0": true, "v0.27.0-rc1": true, "0.33.1": true, "v1.0.0": true,
		"v0.0.0+unknown": true, "": true, "master": true,
	} {
		if got := hasMinor(version, minorSources); got != want {
			t.Errorf("hasMinor(%q, minorSources) = %v", version, got)
		}
	}
}
