// Package scan reads the reports that scanners of vulnerabilities write about images, and joins
// those of an environment (I14).
package scan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// MaxSize is the size of a report that Read accepts, in bytes. One of an image with thousands of
// findings has some MiB.
const MaxSize = 32 << 20

// MaxFindings is how many findings a report can have.
const MaxFindings = 20_000

// ErrNoReport is the error of [Read] for what is neither SARIF nor CycloneDX.
var ErrNoReport = errors.New("it is neither SARIF 2.1.0 nor CycloneDX 1.4 to 1.6 as JSON")

// Read returns the findings of a report, the most severe ones first, each once. The report may be
// anything: a document that does not say what was found is an error, and never a report without
// findings.
func Read(data []byte) ([]runtime.Finding, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("it has more than %d MiB", MaxSize>>20)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if trimmed := bytes.TrimSpace(data); len(trimmed) == 0 {
		return nil, errors.New("it is empty")
	} else if trimmed[0] != '{' {
		return nil, ErrNoReport
	}
	var outer struct {
		Version   json.RawMessage `json:"version"` // a number in CycloneDX
		Runs      json.RawMessage `json:"runs"`
		BOMFormat string          `json:"bomFormat"`
	}
	// A field of another type is that of another format.
	var other *json.UnmarshalTypeError
	if err := json.Unmarshal(data, &outer); errors.As(err, &other) {
		return nil, ErrNoReport
	} else if err != nil {
		return nil, fmt.Errorf("it is not valid JSON: %w", err)
	}
	var found []runtime.Finding
	var err error
	switch {
	case outer.BOMFormat == "CycloneDX":
		found, err = readCycloneDX(data)
	case outer.Runs != nil && string(outer.Version) == `"2.1.0"`:
		found, err = readSARIF(data)
	default:
		return nil, ErrNoReport
	}
	if err != nil {
		return nil, err
	}
	return Join(found)
}

// Join returns findings as a report has them: the most severe ones first, each once.
func Join(found []runtime.Finding) ([]runtime.Finding, error) {
	all := make([]runtime.Finding, len(found))
	for i, f := range found {
		all[i] = runtime.Finding{ID: clip(f.ID), Severity: f.Severity, Package: clip(f.Package), Version: clip(f.Version), Fixed: clip(f.Fixed)}
		if all[i].ID == "" {
			return nil, errors.New("a finding has no identifier")
		}
	}
	slices.SortFunc(all, compare)
	all = slices.CompactFunc(all, func(a, b runtime.Finding) bool { return compare(a, b) == 0 })
	if len(all) > MaxFindings {
		return nil, fmt.Errorf("it has more than %d findings", MaxFindings)
	}
	return all, nil
}

func compare(a, b runtime.Finding) int {
	return cmp.Or(
		-cmp.Compare(a.Severity.Rank(), b.Severity.Rank()), cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.ID, b.ID),
		cmp.Compare(a.Package, b.Package), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Fixed, b.Fixed),
	)
}

// clip makes a string of a report fit for one line: it may be anything.
func clip(s string) string {
	const long = 200
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > long {
		s = string(r[:long]) + "…"
	}
	return s
}

// worded returns the severity that a word stands for.
func worded(word string) plan.Risk {
	switch word = strings.ToLower(word); word {
	case "info", "negligible":
		return plan.RiskNone
	case "moderate":
		return plan.RiskMedium
	case "important":
		return plan.RiskHigh
	}
	if r := plan.Risk(word); slices.Contains(plan.Risks(), r) {
		return r
	}
	return plan.RiskUnknown
}
