package registry

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/runtime/registry/serve"
)

// BenchmarkMirrorLayersThere copies images of ten layers, which are in the mirror, beside crane
// copy, which copies neither signatures nor a second tag. It reports the medians and their
// ratio.
func BenchmarkMirrorLayersThere(b *testing.B) {
	start := func() string {
		s, err := serve.Start(b.Context(), serve.Options{Dir: b.TempDir(), Addr: "127.0.0.1:0"})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		return s.Addr
	}
	from, to := start(), start()
	base, err := random.Image(100<<10, 10)
	if err != nil {
		b.Fatal(err)
	}
	next := func(i int) string {
		img, err := mutate.Config(base, v1.Config{Labels: map[string]string{"n": fmt.Sprint(i)}})
		if err != nil {
			b.Fatal(err)
		}
		src := fmt.Sprintf("%s/web:%d", from, i)
		ref, err := name.ParseReference(src)
		if err == nil {
			err = remote.Write(ref, img)
		}
		if err != nil {
			b.Fatal(err)
		}
		return src
	}
	r, err := New(Options{Prefix: to})
	if err != nil {
		b.Fatal(err)
	}
	both := []func(string) error{
		func(src string) error {
			_, _, err := r.Mirror(b.Context(), src, discard)
			return err
		},
		func(src string) error { return crane.Copy(src, to+"/crane/web:1", crane.Insecure) },
	}
	var took [2][]time.Duration
	n := 0
	for i := 0; b.Loop() || i < 2; i++ {
		for which, copies := range both {
			n++
			src := next(n)
			began := time.Now()
			if err := copies(src); err != nil {
				b.Fatal(err)
			}
			if i > 0 { // the first one copies the layers
				took[which] = append(took[which], time.Since(began))
			}
		}
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2]) / float64(time.Millisecond)
	}
	b.ReportMetric(median(took[0]), "pipe-ms")
	b.ReportMetric(median(took[1]), "crane-ms")
	b.ReportMetric(median(took[0])/median(took[1]), "ratio")
}
