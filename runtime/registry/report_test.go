package registry

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// TestReport: a report is replaced by the next one, goes with its image, and what is not one is none (I14).
func TestReport(t *testing.T) {
	eachRegistry(t, func(t *testing.T, r *Registry, aged func()) {
		key, other := plan.DigestOf([]byte("key")), plan.DigestOf([]byte("other"))
		ref, digest := built(t, r, "going", image(t))
		staying, stays := built(t, r, "staying", image(t))
		ref, staying = runtime.ByDigest(ref, digest), runtime.ByDigest(staying, stays)
		for i, want := range []*runtime.ScanReport{
			{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Findings: []runtime.Finding{{ID: "CVE-2026-1", Severity: plan.RiskHigh, Package: "a", Version: "1", Fixed: "2"}}},
			{At: time.Date(2026, 1, 3, 3, 4, 5, 0, time.UTC)},
		} {
			for _, of := range []string{ref, staying} {
				if err := r.KeepReport(t.Context(), of, key, want); err != nil {
					t.Fatal(err)
				}
			}
			got, err := r.Report(t.Context(), ref, key)
			if err != nil || !got.At.Equal(want.At) || fmt.Sprint(got.Findings) != fmt.Sprint(want.Findings) {
				t.Errorf("report %d = %+v, %v, want %+v", i, got, err, want)
			}
		}
		if _, err := r.Report(t.Context(), ref, other); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("Report of another key: %v", err)
		}
		tag, err := r.reportTag(ref, key)
		if err != nil {
			t.Fatal(err)
		}
		if all := keptImages(t, r); len(all) != 2 {
			t.Errorf("%d images are kept, want 2: a report is none", len(all))
		}
		aged()
		if removed := pruned(t, r, needed("environment staging", stays)); len(removed) != 1 {
			t.Errorf("removed %v, want 1", removed)
		}
		if is(t, tag.String()) {
			t.Errorf("%s is still there", tag)
		}
		if _, err := r.Report(t.Context(), staying, key); err != nil {
			t.Errorf("the report of an image that is kept: %v", err)
		}
	})
}

// TestReportDamaged: what cannot be a report is none, and can be replaced; a report that is too large
// is not written.
func TestReportDamaged(t *testing.T) {
	eachRegistry(t, func(t *testing.T, r *Registry, _ func()) {
		key := plan.DigestOf([]byte("key"))
		ref, digest := built(t, r, "damaged", image(t))
		ref = runtime.ByDigest(ref, digest)
		tag, err := r.reportTag(ref, key)
		if err != nil {
			t.Fatal(err)
		}
		for _, annotations := range []map[string]string{
			nil, {reportAt: "yesterday"}, {reportAt: "2026-01-02T03:04:05Z"}, {reportAt: "2026-01-02T03:04:05Z", reportFindings: "?"},
		} {
			push(t, tag.String(), annotated(annotations))
			if report, err := r.Report(t.Context(), ref, key); !errors.Is(err, runtime.ErrNotFound) {
				t.Errorf("%v: %+v, %v, want ErrNotFound", annotations, report, err)
			}
		}
		var many []runtime.Finding
		for i := range 40000 {
			many = append(many, runtime.Finding{ID: string(plan.DigestOf(fmt.Append(nil, i)))})
		}
		err = r.KeepReport(t.Context(), ref, key, &runtime.ScanReport{At: time.Now(), Findings: many})
		if err == nil || !strings.Contains(err.Error(), "its 40000 findings have ") {
			t.Errorf("KeepReport of many = %v", err)
		}
		if err := r.KeepReport(t.Context(), ref, key, &runtime.ScanReport{At: time.Now()}); err != nil {
			t.Error(err)
		}
		if _, err := r.Report(t.Context(), ref, key); err != nil {
			t.Error(err)
		}
	})
}
