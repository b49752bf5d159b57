package runtimetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A ScansTest configures TestScans.
type ScansTest struct {
	Scans runtime.Scans
	// Push pushes a new image to the registry, in which a scan With finds the Findings, and returns
	// its reference by digest.
	Push     func(t *testing.T) string
	With     plan.Scan
	Findings []runtime.Finding // as a report has them
}

// TestScans checks the contract of [runtime.Scans].
func TestScans(t *testing.T, st ScansTest) {
	s, ref := st.Scans, st.Push(t)
	if _, err := s.Report(t.Context(), st.With, ref); !errors.Is(err, runtime.ErrNotFound) {
		t.Fatalf("Report of a new image: %v, want ErrNotFound", err)
	}
	var made *runtime.ScanReport
	for range 2 { // it is not an error that there is a report
		before := time.Now().Truncate(time.Second)
		var err error
		if made, err = s.Scan(t.Context(), st.With, ref, nil, discard); err != nil {
			t.Fatal(err)
		}
		if made.At.Before(before) || made.At.After(time.Now()) || !slices.Equal(made.Findings, st.Findings) {
			t.Errorf("Scan = %+v, want now and %+v", made, st.Findings)
		}
	}
	kept, err := s.Report(t.Context(), st.With, ref)
	if err != nil || !kept.At.Equal(made.At) || !slices.Equal(kept.Findings, made.Findings) {
		t.Errorf("Report = %+v, %v, want %+v", kept, err, made)
	}
	permits := st.With
	permits.Max, permits.Every, permits.Ignore = plan.RiskCritical, 1, []plan.Exception{{ID: "x", Until: "2027-01-31"}}
	if kept, err := s.Report(t.Context(), permits, ref); err != nil || !kept.At.Equal(made.At) {
		t.Errorf("Report of a scan that permits something else = %v, %v, want the same", kept, err)
	}
	other := st.With
	other.Command = append(slices.Clone(other.Command), "other")
	if _, err := s.Report(t.Context(), other, ref); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Report of a scan with other arguments: %v, want ErrNotFound", err)
	}
	if _, err := s.Report(t.Context(), st.With, st.Push(t)); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Report of another image: %v, want ErrNotFound", err)
	}
}
