package registry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// The report of a scanner is an empty image with annotations beside the image that was scanned, at a
// tag that is made of the digest of the image and of the key of the scan (I14). So it is read with one
// request, and written without a look at what is there. The report of an image that is not in this
// registry is where a copy of the image would be.
const (
	reportSuffix   = ".scan-"
	reportAt       = "io.github.pipelinefile.scan.at"
	reportFindings = "io.github.pipelinefile.scan.findings" // as compressed JSON
	reportKeySize  = 16                                     // digits of the key in the tag
)

// reportTag returns the tag of the report of an image, which is named by digest.
func (r *Registry) reportTag(ref string, key plan.Digest) (name.Tag, error) {
	image, digest, err := r.parseDigest(ref)
	if err != nil {
		return name.Tag{}, err
	}
	repo := image.Context()
	if !r.own(repo) {
		if repo, err = r.mirrorOf(repo); err != nil {
			return name.Tag{}, err
		}
	}
	return repo.Tag(refTag(digest) + reportSuffix + strings.TrimPrefix(string(key), "sha256:")[:reportKeySize]), nil
}

// Report returns the report of an image by a scan with a key. Without one, or if what is there cannot be
// one, the error is ErrNotFound. Its strings may be anything: who can write to the repository can
// write a report.
func (r *Registry) Report(ctx context.Context, ref string, key plan.Digest) (*runtime.ScanReport, error) {
	tag, err := r.reportTag(ref, key)
	if err != nil {
		return nil, err
	}
	raw, err := r.readAnnotated(ctx, tag)
	if err != nil {
		return nil, r.explain(ctx, tag, err)
	}
	report := &runtime.ScanReport{}
	if report.At, err = time.Parse(time.RFC3339, raw[reportAt]); err == nil {
		err = unpack(raw[reportFindings], &report.Findings)
	}
	if raw == nil || err != nil {
		return nil, fmt.Errorf("the report of %s: %w", ref, runtime.ErrNotFound)
	}
	return report, nil
}

// KeepReport writes a report, instead of the one before.
func (r *Registry) KeepReport(ctx context.Context, ref string, key plan.Digest, report *runtime.ScanReport) error {
	tag, err := r.reportTag(ref, key)
	if err != nil {
		return err
	}
	text, err := packed(report.Findings)
	if err != nil {
		return err
	}
	if len(text) > maxInputs {
		return fmt.Errorf("its %d findings have %d KiB, at most %d can be kept in the registry", len(report.Findings), len(text)>>10, maxInputs>>10)
	}
	if err := r.writeAnnotated(ctx, tag, map[string]string{reportAt: report.At.UTC().Format(time.RFC3339), reportFindings: text}); err != nil {
		return r.explain(ctx, tag, err)
	}
	return nil
}
