package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// Scans scan images for vulnerabilities, and keep the reports (I14).
type Scans interface {
	// Report returns the report that is kept of the image at ref, which names it by digest, by a
	// scan with the same key. Without one the error is ErrNotFound.
	Report(ctx context.Context, with plan.Scan, ref string) (*ScanReport, error)
	// Scan scans the image at ref for each of the platforms, or that of the builder if there are
	// none, and keeps the report instead of the one before.
	Scan(ctx context.Context, with plan.Scan, ref string, platforms []string, emit Emit) (*ScanReport, error)
}

// A ScanReport is what a scanner has found in an image.
type ScanReport struct {
	At       time.Time `json:"at"`       // when it was made
	Findings []Finding `json:"findings"` // the most severe ones first, each once
}

// A Finding is a vulnerability in a package of an image. All strings come from the scanner.
type Finding struct {
	ID       string    `json:"id"` // such as "CVE-2026-12345"
	Severity plan.Risk `json:"severity"`
	Package  string    `json:"package,omitempty"` // empty: not known, as is Version
	Version  string    `json:"version,omitempty"`
	Fixed    string    `json:"fixed,omitempty"` // in which version, or what to do about it; empty: not known
}

// String describes the finding in a few words.
func (f Finding) String() string {
	text := fmt.Sprintf("%s (%s)", f.ID, f.Severity)
	if f.Package != "" {
		text += " in " + strings.TrimSpace(f.Package+" "+f.Version)
	}
	if f.Fixed != "" {
		text += ", fixed: " + f.Fixed
	}
	return text
}

// Judge returns the findings of a report that a scan does not permit at a time, and the exceptions
// for them that have expired.
func (r *ScanReport) Judge(with plan.Scan, now time.Time) (above []Finding, expired []plan.Exception) {
	for _, f := range r.Findings {
		if f.Severity.Rank() <= with.Max.Rank() {
			continue
		}
		switch e := with.Exception(f.ID, now); {
		case e == nil:
		case !e.Expired(now):
			continue
		case !slices.Contains(expired, *e):
			expired = append(expired, *e)
		}
		above = append(above, f)
	}
	return above, expired
}

// A FindingsError means that an image has vulnerabilities that the plan does not permit.
type FindingsError struct {
	Image    string
	Findings []Finding // the most severe ones first; at least one
	Expired  []plan.Exception
	With     plan.Scan
}

// maxShown is how many findings a message has.
const maxShown = 5

func (e *FindingsError) Error() string {
	what := "a finding"
	if n := len(e.Findings); n > 1 {
		what = fmt.Sprintf("%d findings", n)
	}
	texts := make([]string, 0, maxShown)
	for _, f := range e.Findings[:min(len(e.Findings), maxShown)] {
		texts = append(texts, f.String())
	}
	text := fmt.Sprintf("%s has %s above max=%q of scan() at %s: %s", e.Image, what, e.With.Max, e.With.Pos, strings.Join(texts, "; "))
	if more := len(e.Findings) - maxShown; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	for _, x := range e.Expired {
		text += fmt.Sprintf("; the exception for %s at %s ended on %s", x.ID, x.Pos, x.Until)
	}
	return text
}

// Advice says what to do about it.
func (e *FindingsError) Advice() Advice {
	return Advice{Do: fmt.Sprintf("update the base image or the package, or write ignore = [exception(%q, reason = …, until = …)] of scan()", e.Findings[0].ID)}
}

// unscannedText is why an image that is in the registry is a task of a run.
const unscannedText = "its image is scanned for vulnerabilities"

var errNoScans = errors.New("this runtime cannot scan images")

// scans reports whether the run requires reports of an image: one that is deployed by it. Watch mode
// does not, nor do jobs that run when an environment is stopped or deleted.
func (r *run) scans(im *image) bool {
	return r.scope.plan.Pipeline.Scan != nil && r.req.Action == Deploy && r.Turn == nil &&
		slices.ContainsFunc(im.services, func(s *service) bool { return s.has(im) })
}

// unscanned reports whether an image must be scanned: its report is too old, or there is none. A
// rollback uses the reports that there are.
func (r *run) unscanned(im *image) bool {
	return r.scans(im) && im.err == nil && !im.fresh && r.req.RollbackTo == ""
}

// findReport looks for the report of an image whose digest is known.
func (r *run) findReport(ctx context.Context, im *image) error {
	if !r.scans(im) || im.byDigest == "" || im.reported == im.byDigest {
		return nil
	}
	if r.Scans == nil {
		return errNoScans
	}
	scan := *r.scope.plan.Pipeline.Scan
	if !strings.Contains(im.byDigest, "@") {
		return Advise(fmt.Errorf("%s cannot be scanned, as scan() at %s requires, because its digest is not known: %w", im.byDigest, scan.Pos, im.unasked),
			Advice{Do: "name the image by its digest, or let pipe reach its registry"})
	}
	report, err := r.Scans.Report(ctx, scan, im.byDigest)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("look for the report of %s, which scan() at %s requires: %w", im.source(), scan.Pos, err)
	}
	im.report, im.reported = report, im.byDigest
	im.fresh = report != nil && time.Since(report.At).Abs() < time.Duration(scan.Every)
	return nil
}

// scan scans an image that was made, or that was there, unless it has a report, and returns an error
// if a service of its stage that would be deployed with it must not be. Those of later stages fail when
// they are reached.
func (r *run) scan(ctx context.Context, im *image, emit Emit) error {
	if err := r.findReport(ctx, im); err != nil || !r.scans(im) {
		return err
	}
	with := *r.scope.plan.Pipeline.Scan
	if r.unscanned(im) {
		var platforms []string
		if im.build != nil {
			platforms = im.build.Platforms
		}
		sched.Return(ctx) // if it only waited for the build of another process until now
		report, err := r.Scans.Scan(ctx, with, im.byDigest, platforms, emit)
		if err != nil {
			return fmt.Errorf("scan %s: %w", im.source(), err)
		}
		im.report, im.reported, im.fresh = report, im.byDigest, true
		above, _ := report.Judge(with, time.Now())
		emit(newScanned(im.byDigest, report, above))
		r.track.scanned()
	}
	found := r.findings(im)
	if found == nil {
		return nil
	}
	passes := true
	for _, s := range im.services {
		if !s.has(im) || r.passes(s) {
			continue
		}
		if s.stage == im.stage {
			return found
		}
		passes = false // see gate
	}
	if passes {
		emit(Warned{r.outlived(im.services[slices.IndexFunc(im.services, func(s *service) bool { return s.has(im) })], found)})
	}
	return nil
}

// findings returns why an image must not be deployed, or nil. A report that is too old says nothing.
func (r *run) findings(im *image) *FindingsError {
	if im.report == nil || !r.scans(im) || r.unscanned(im) {
		return nil
	}
	with := *r.scope.plan.Pipeline.Scan
	above, expired := im.report.Judge(with, time.Now())
	if len(above) == 0 {
		return nil
	}
	e := &FindingsError{Image: im.byDigest, Findings: above, Expired: expired, With: with}
	if im.mirror+im.external != "" {
		_, _, digest := plan.CutImage(im.byDigest)
		e.Image = fmt.Sprintf("%s (%s)", im.mirror+im.external, digest)
	}
	return e
}

// passes reports whether findings do not stop s: it is deployed already, or again by a rollback.
func (r *run) passes(s *service) bool {
	if r.req.RollbackTo != "" {
		return true
	}
	same, _ := r.equals(s)
	return same
}

// gate returns an error if an image of s must not be deployed.
func (r *run) gate(s *service) error {
	if r.req.Action != Deploy || r.passes(s) {
		return nil
	}
	var failures []ImageFailure
	for _, im := range s.images {
		if found := r.findings(im.image); found != nil {
			failures = append(failures, s.imageFailure(im.image, found))
		}
	}
	if failures == nil {
		return nil
	}
	return &ImagesError{failures}
}

// foreseeFindings finds the services that reports do not permit to be deployed, before anything is
// written.
func (r *run) foreseeFindings() {
	for _, st := range r.scope.stages {
		for _, s := range st.services {
			if s.err == nil {
				s.err = r.gate(s)
			}
		}
	}
}

// outlived returns the warning about findings in an image of s, which is not stopped by them.
func (r *run) outlived(s *service, found *FindingsError) plan.Diagnostic {
	what := "it is deployed already"
	if r.req.RollbackTo != "" {
		what = "a rollback deploys it"
	}
	return plan.Diagnostic{Severity: plan.SeverityWarning, Pos: s.Pos, Message: fmt.Sprintf("%v; %s", found, what), Hint: found.Advice().Do}
}

// scanWarnings returns, by service, warnings about images that have findings and do not stop the run,
// and about exceptions that have ended.
func (r *run) scanWarnings() map[string][]plan.Diagnostic {
	out := make(map[string][]plan.Diagnostic)
	scan := r.scope.plan.Pipeline.Scan
	if scan == nil {
		return out
	}
	first := ""
	for _, im := range r.images {
		if !r.scans(im) {
			continue
		}
		if first == "" {
			first = im.services[0].Name
		}
		if found := r.findings(im); found != nil && !slices.ContainsFunc(im.services, func(s *service) bool { return s.has(im) && !r.passes(s) }) {
			out[im.services[0].Name] = append(out[im.services[0].Name], r.outlived(im.services[0], found))
		}
	}
	now := time.Now()
	for _, e := range scan.Ignore {
		if other := scan.Exception(e.ID, now); first != "" && e.Expired(now) && other.Expired(now) {
			out[first] = append(out[first], plan.Diagnostic{
				Severity: plan.SeverityWarning, Pos: e.Pos, Message: fmt.Sprintf("the exception for %s ended on %s: it has no effect", e.ID, e.Until),
				Hint: "remove it if the vulnerability is fixed, or give it a later end",
			})
		}
	}
	return out
}

// newScanned returns the event about a scan.
func newScanned(ref string, report *ScanReport, above []Finding) Scanned {
	e := Scanned{Image: ref, Above: len(above)}
	for _, f := range report.Findings {
		switch f.Severity {
		case plan.RiskCritical:
			e.Critical++
		case plan.RiskHigh:
			e.High++
		case plan.RiskMedium:
			e.Medium++
		case plan.RiskLow:
			e.Low++
		case plan.RiskUnknown:
			e.Unknown++
		}
	}
	return e
}
