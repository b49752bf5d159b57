package scan_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/scan"
)

// TestRead: reports in the forms in which trivy and grype write them.
func TestRead(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]runtime.Finding{
		"trivy.sarif": {
			{ID: "CVE-2026-0001", Severity: plan.RiskCritical, Package: "libcrypto3", Version: "3.0.1-r0", Fixed: "3.0.2-r1"},
			{ID: "CVE-2026-0001", Severity: plan.RiskCritical, Package: "libssl3", Version: "3.0.1-r0", Fixed: "3.0.2-r1"},
			{ID: "CVE-2026-0002", Severity: plan.RiskUnknown, Package: "zlib", Version: "1.2"},
		},
		"grype.sarif": {
			{ID: "CVE-2026-0001", Severity: plan.RiskCritical, Package: "log4j-core", Version: "2.14.1", Fixed: "2.15.0"},
			{ID: "GHSA-abcd-1234-efgh", Severity: plan.RiskMedium, Package: "semver"},
		},
		"trivy.cdx.json": {
			{ID: "CVE-2026-0001", Severity: plan.RiskCritical, Package: "libssl3", Version: "3.0.1-r0", Fixed: "Upgrade libssl3 to version 3.0.2-r1"},
			{ID: "CVE-2026-0003", Severity: plan.RiskUnknown},
			{ID: "CVE-2026-0002", Severity: plan.RiskMedium, Package: "elsewhere"},
			{ID: "CVE-2026-0002", Severity: plan.RiskMedium, Package: "log4j-core", Version: "2.14.1"},
		},
	} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := scan.Read(data); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %+v, %v\nwant %+v", file, got, err, want)
		}
	}
}

// result returns a report of SARIF with one result and one rule.
func result(result, rule string) string {
	return fmt.Sprintf(`{"version":"2.1.0","runs":[{"tool":{"driver":{"rules":[{"id":"A"%s}]}},"results":[{"ruleId":"A"%s}]}]}`, rule, result)
}

// TestReadSeverity: how severe a finding is if its rule has no score, or an odd one.
func TestReadSeverity(t *testing.T) {
	t.Parallel()
	for report, want := range map[string]plan.Risk{
		result("", ""):                                                         plan.RiskUnknown,
		result(`,"level":"error"`, ""):                                         plan.RiskHigh,
		result(`,"level":"warning"`, ""):                                       plan.RiskMedium,
		result(`,"level":"note"`, ""):                                          plan.RiskLow,
		result(`,"level":"none"`, ""):                                          plan.RiskNone,
		result("", `,"defaultConfiguration":{"level":"error"}`):                plan.RiskHigh,
		result(`,"level":"note"`, `,"properties":{"security-severity":"9.1"}`): plan.RiskCritical,
		result("", `,"properties":{"security-severity":7}`):                    plan.RiskHigh,
		result(`,"properties":{"security-severity":"1"}`, `,"properties":{"security-severity":"9"}`): plan.RiskLow,
		result("", `,"properties":{"security-severity":"0.0"}`):                                      plan.RiskNone,
		result("", `,"properties":{"security-severity":"high"}`):                                     plan.RiskUnknown,
		result("", `,"properties":{"security-severity":"NaN"}`):                                      plan.RiskUnknown,
		result("", `,"properties":{"security-severity":"-1"}`):                                       plan.RiskUnknown,
		result("", `,"properties":{"security-severity":null}`):                                       plan.RiskUnknown,
		result(`,"suppressions":[{"kind":"external","status":"accepted"}],"level":"error"`, ""):      plan.RiskHigh,
	} {
		if got, err := scan.Read([]byte(report)); err != nil || len(got) != 1 || got[0] != (runtime.Finding{ID: "A", Severity: want}) {
			t.Errorf("%s: %+v, %v, want %s", report, got, err, want)
		}
	}
	for _, none := range []string{`,"kind":"pass"`, `,"kind":"notApplicable"`, `,"baselineState":"absent"`} {
		if got, err := scan.Read([]byte(result(none, ""))); err != nil || len(got) != 0 {
			t.Errorf("%s: %+v, %v, want nothing", none, got, err)
		}
	}
	for _, word := range []string{"none", "info", "low", "medium", "high", "critical", "UNKNOWN", "Critical"} {
		report := fmt.Sprintf(`{"bomFormat":"CycloneDX","specVersion":"1.4","vulnerabilities":[{"id":"A","ratings":[{"severity":%q}]}]}`, word)
		want := plan.Risk(strings.ToLower(word))
		if word == "info" {
			want = plan.RiskNone
		}
		if got, err := scan.Read([]byte(report)); err != nil || len(got) != 1 || got[0].Severity != want {
			t.Errorf("%s: %+v, %v", word, got, err)
		}
	}
}

// TestReadWrong: what does not say what was found is an error, not a report without findings.
func TestReadWrong(t *testing.T) {
	t.Parallel()
	for report, want := range map[string]string{
		"": "it is empty", " \n": "it is empty", "[]": scan.ErrNoReport.Error(), "null": scan.ErrNoReport.Error(), "{}": scan.ErrNoReport.Error(), "<sarif>": scan.ErrNoReport.Error(),
		"{":                                             "it is not valid JSON: unexpected end of JSON input",
		`{"version":1,"runs":[]}`:                       scan.ErrNoReport.Error(),
		`{"version":"2.0.0","runs":[{}]}`:               scan.ErrNoReport.Error(),
		`{"version":"2.1.0"}`:                           scan.ErrNoReport.Error(),
		`{"version":"2.1.0","runs":[]}`:                 "it has no run of a scanner",
		`{"version":"2.1.0","runs":null}`:               "it has no run of a scanner",
		`{"version":"2.1.0","runs":{}}`:                 "it is not valid SARIF: ",
		`{"version":"2.1.0","runs":[{}]}`:               "a run in it has no results",
		`{"version":"2.1.0","runs":[{"results":null}]}`: "a run in it has no results",
		`{"version":"2.1.0","runs":[{"invocations":[{"executionSuccessful":false}],"results":[]}]}`: "it says that the scanner was not successful",
		`{"version":"2.1.0","runs":[{"results":[{}]}]}`:                                             "a finding has no identifier",
		`{"version":"2.1.0","runs":[{"results":["a"]}]}`:                                            "it is not valid SARIF: ",
		`{"bomFormat":"CycloneDX","specVersion":"1.3","vulnerabilities":[]}`:                        "it is CycloneDX 1.3, and 1.4 to 1.6 can be read",
		`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}`:                             "it has no list of vulnerabilities: the scanner has listed packages only",
		`{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":{}}`:                        "it is not valid CycloneDX: ",
		`{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[{"id":" \u0000"}]}`:        "a finding has no identifier",
		`{"spdxVersion":"SPDX-2.3"}`:                                                                scan.ErrNoReport.Error(),
		`{"version":"2.1.0","runs":[{"results":[` + many(scan.MaxFindings+1) + `]}]}`:               "it has more than 20000 findings",
		strings.Repeat(" ", scan.MaxSize+1):                                                         "it has more than 32 MiB",
		`{"version":"2.1.0","runs":` + strings.Repeat("[", 100000):                                  "it is not valid JSON: ",
	} {
		got, err := scan.Read([]byte(report))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.80s: %d findings, %v, want %q", report, len(got), err, want)
		}
	}
	if _, err := scan.Read([]byte("{}")); !errors.Is(err, scan.ErrNoReport) {
		t.Errorf("Read = %v", err)
	}
	for _, none := range []string{
		`{"version":"2.1.0","runs":[{"results":[]}]}`, `{"bomFormat":"CycloneDX","specVersion":"1.5","vulnerabilities":[]}`,
		"\ufeff" + `{"bomFormat":"CycloneDX","specVersion":"1.5","vulnerabilities":null}`,
	} {
		if got, err := scan.Read([]byte(none)); err != nil || len(got) != 0 {
			t.Errorf("%s: %+v, %v, want nothing", none, got, err)
		}
	}
}

func many(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`{"ruleId":"A%d"}`, i)
	}
	return strings.Join(all, ",")
}

// TestReadHostile: strings of a report fit in a line, and deep documents end.
func TestReadHostile(t *testing.T) {
	t.Parallel()
	got, err := scan.Read([]byte(result(`,"message":{"text":"Package: a\u001b[31m\u0007b\nInstalled Version: `+strings.Repeat("v", 1000)+`"}`, "")))
	if err != nil || got[0].Package != "a [31m b" || len(got[0].Version) != 200+len("…") {
		t.Errorf("%+v, %v", got, err)
	}
	deep := `{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[{"id":"A","affects":[{"ref":"r"}]}],"components":[` +
		strings.Repeat(`{"components":[`, 2000) + `{"bom-ref":"r","name":"deep"}` + strings.Repeat(`]}`, 2000) + `]}`
	if got, err := scan.Read([]byte(deep)); err != nil || got[0].Package != "r" {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzRead(f *testing.F) {
	for _, file := range []string{"trivy.sarif", "grype.sarif", "trivy.cdx.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := scan.Read(data)
		if err != nil {
			return
		}
		again, err := scan.Join(found)
		if err != nil || !slices.Equal(found, again) {
			t.Errorf("Join(%+v) = %+v, %v", found, again, err)
		}
	})
}
