package local

import (
	"context"
	"fmt"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/scan"
)

// scans scan images on the builders of a runtime, and keep the reports in its registry.
type scans struct {
	images *registry.Registry
	mirror func(ctx context.Context, src string, emit runtime.Emit) (ref string, copied bool, err error)
	run    func(ctx context.Context, s build.ScanSpec, emit runtime.Emit) ([]byte, error)
	// again retries something if the registry has died meanwhile.
	again func(ctx context.Context, what string, emit runtime.Emit, do func() error) error
}

var _ runtime.Scans = (*scans)(nil)

// Report implements [runtime.Scans].
func (s *scans) Report(ctx context.Context, with plan.Scan, ref string) (report *runtime.ScanReport, err error) {
	err = s.again(ctx, "read the report of "+ref, func(runtime.Body) {}, func() error {
		report, err = s.images.Report(ctx, ref, with.Key())
		return err
	})
	if err != nil {
		return nil, err
	}
	report.Findings, err = scan.Join(report.Findings) // somebody else may have written it
	if err != nil {
		return nil, fmt.Errorf("the report of %s: %w", ref, runtime.ErrNotFound)
	}
	return report, nil
}

// Scan implements [runtime.Scans].
func (s *scans) Scan(ctx context.Context, with plan.Scan, ref string, platforms []string, emit runtime.Emit) (*runtime.ScanReport, error) {
	report := &runtime.ScanReport{At: time.Now().UTC().Truncate(time.Second)}
	err := s.again(ctx, "scan "+ref, emit, func() error {
		scanner, _, err := s.mirror(ctx, with.Image, emit)
		if err != nil {
			return fmt.Errorf("copy the scanner %s: %w", with.Image, err)
		}
		report.Findings = nil
		if len(platforms) == 0 {
			platforms = []string{""}
		}
		for _, platform := range platforms {
			data, err := s.run(ctx, build.ScanSpec{Scanner: scanner, With: with, Image: ref, Platform: platform, MaxSize: scan.MaxSize}, emit)
			if err != nil {
				return err
			}
			found, err := scan.Read(data)
			if err != nil {
				return unreadable(with, err)
			}
			report.Findings = append(report.Findings, found...)
		}
		if report.Findings, err = scan.Join(report.Findings); err != nil {
			return unreadable(with, err)
		}
		if err := s.images.KeepReport(ctx, ref, with.Key(), report); err != nil {
			return fmt.Errorf("keep the report of the scanner: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// unreadable returns the error for a report that does not say what was found.
func unreadable(with plan.Scan, err error) error {
	return runtime.Advise(fmt.Errorf("the report of the scanner of scan() at %s cannot be used: %w", with.Pos, err),
		runtime.Advice{Do: "let command= of scan() write SARIF 2.1.0, or CycloneDX 1.4 to 1.6 with vulnerabilities, to $(PIPE_REPORT)"})
}
