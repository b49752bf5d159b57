package runtimetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

var _ runtime.Scans = (*Scans)(nil)

// Scans find what they are told to, and keep the reports.
type Scans struct {
	world *World

	mu    sync.Mutex
	found map[string][]runtime.Finding   // by digest of the image
	kept  map[string]*runtime.ScanReport // by digest and key
}

// Find makes scans of the image with a digest find something.
func (s *Scans) Find(digest plan.Digest, findings ...runtime.Finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found[string(digest)] = findings
}

// Report implements [runtime.Scans].
func (s *Scans) Report(ctx context.Context, with plan.Scan, ref string) (*runtime.ScanReport, error) {
	if err := s.world.step(ctx, "Scans.Report", ref); err != nil {
		return nil, err
	}
	_, digest := cut(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	report := s.kept[digest+string(with.Key())]
	if report == nil {
		return nil, fmt.Errorf("report of %s: %w", ref, runtime.ErrNotFound)
	}
	return report, nil
}

// Scan implements [runtime.Scans].
func (s *Scans) Scan(ctx context.Context, with plan.Scan, ref string, _ []string, _ runtime.Emit) (*runtime.ScanReport, error) {
	if err := s.world.step(ctx, "Scans.Scan", ref); err != nil {
		return nil, err
	}
	_, digest := cut(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	report := &runtime.ScanReport{At: time.Now().UTC().Truncate(time.Second), Findings: slices.Clone(s.found[digest])}
	slices.SortStableFunc(report.Findings, func(a, b runtime.Finding) int { return b.Severity.Rank() - a.Severity.Rank() })
	s.kept[digest+string(with.Key())] = report
	return report, nil
}
