package deploy_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

const (
	benchReleases = 50
	benchParallel = 7
)

// A requests counts the requests to the API server by kind.
type requests struct {
	mu    sync.Mutex
	count map[string]int
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// counting returns a config whose requests are counted.
func counting(config *rest.Config) (*rest.Config, *requests) {
	c := &requests{count: make(map[string]int)}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			what := r.Method
			if r.URL.Query().Get("watch") != "" {
				what = "WATCH"
			}
			c.mu.Lock()
			c.count[what]++
			c.count["all"]++
			c.mu.Unlock()
			return next.RoundTrip(r)
		})
	})
	return config, c
}

// all returns the number of requests, and resets it.
func (c *requests) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := c.count
	c.count = make(map[string]int)
	return count
}

func benchPlan() *plan.Plan {
	p := &plan.Plan{Pipeline: plan.Pipeline{Name: "bench"}, Environment: plan.EnvironmentRef{Name: "default"}}
	for i := range benchReleases {
		p.Services = append(p.Services, plan.Service{
			Name: fmt.Sprintf("svc-%d", i), Type: plan.Application, Timeout: plan.Duration(5 * time.Minute),
			Chart: &plan.Chart{Ref: "web"},
		})
	}
	return p
}

// each calls do for each service, seven at a time.
func each(b *testing.B, p *plan.Plan, do func(plan.Service) error) {
	b.Helper()
	work := make(chan plan.Service)
	var wg sync.WaitGroup
	for range benchParallel {
		wg.Go(func() {
			for s := range work {
				if err := do(s); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for _, s := range p.Services {
		work <- s
	}
	close(work)
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// pass does the same as a run, with a new Deployer like a new process, and returns how
// many releases it had to deploy.
func pass(b *testing.B, config *rest.Config, dir, namespace string, p *plan.Plan) int {
	b.Helper()
	d := newDeployer(b, deploy.Options{Config: config, Dir: dir})
	if err := d.Prepare(b.Context(), keyOf(namespace), p); err != nil {
		b.Fatal(err)
	}
	deployed, err := d.Deployed(b.Context(), namespace)
	if err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex
	n := 0
	each(b, p, func(s plan.Service) error {
		r := releaseIn(namespace, s)
		r.Image = ""
		if r.Fingerprint, err = d.Fingerprint(b.Context(), r); err != nil {
			return err
		}
		if was := deployed[s.Name]; was.Ready && was.Fingerprint == r.Fingerprint {
			return nil
		}
		mu.Lock()
		n++
		mu.Unlock()
		return d.Act(b.Context(), runtime.Deploy, r, discard)
	})
	return n
}

// BenchmarkFifty deploys 50 releases of the chart that helm create generates to a simulated
// node, and again without changes, and does the same with helm, seven at a time, on the
// same cluster. It fails if the speedup is less than the goal.
func BenchmarkFifty(b *testing.B) {
	config, asked := counting(testenv.Cluster(b))
	run := helm(b)
	dir := b.TempDir()
	if _, err := chartutil.Create("web", dir); err != nil {
		b.Fatal(err)
	}
	p := benchPlan()
	stopwatch := func(do func()) time.Duration {
		start := time.Now()
		do()
		return time.Since(start)
	}
	for b.Loop() {
		byHelm, byPipe := namespace(b, config), namespace(b, config)
		if _, err := run("install", "warm-up", filepath.Join(dir, "web"), "--namespace", byHelm, "--create-namespace"); err != nil {
			b.Fatal(err)
		}
		helmPass := func() {
			each(b, p, func(s plan.Service) error {
				_, err := run("upgrade", "--install", s.Name, filepath.Join(dir, "web"), "--namespace", byHelm, "--wait")
				return err
			})
		}
		var done [2]int
		var took [4]time.Duration
		var counts [2]map[string]int
		asked.take()
		for i := range 2 {
			took[i] = stopwatch(func() { done[i] = pass(b, config, dir, byPipe, p) })
			counts[i] = asked.take()
			took[2+i] = stopwatch(helmPass)
		}
		if done != [2]int{benchReleases, 0} {
			b.Fatalf("deployed %d releases first and %d again, want %d and none", done[0], done[1], benchReleases)
		}
		first, again := took[0].Seconds()/took[2].Seconds(), took[1].Seconds()/took[3].Seconds()
		b.Logf("first: pipe %.2f s, helm %.2f s, ratio %.2f; again: pipe %.3f s, helm %.2f s, ratio %.3f",
			took[0].Seconds(), took[2].Seconds(), first, took[1].Seconds(), took[3].Seconds(), again)
		b.Logf("requests of pipe, first: %s; again: %s", shown(counts[0]), shown(counts[1]))
		b.ReportMetric(took[0].Seconds(), "pipe-first-s")
		b.ReportMetric(took[2].Seconds(), "helm-first-s")
		b.ReportMetric(first, "first-ratio")
		b.ReportMetric(took[1].Seconds(), "pipe-again-s")
		b.ReportMetric(took[3].Seconds(), "helm-again-s")
		b.ReportMetric(again, "again-ratio")
		b.ReportMetric(float64(counts[0]["all"])/benchReleases, "requests/release")
		if first > 0.6 || again > 0.1 {
			b.Errorf("ratios %.2f first and %.3f again, want at most 0.6 and 0.1", first, again)
		}
	}
}

func shown(count map[string]int) string {
	parts := []string{fmt.Sprintf("%d", count["all"])}
	for _, verb := range []string{"GET", "WATCH", "POST", "PUT", "PATCH", "DELETE"} {
		if n := count[verb]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", verb, n))
		}
	}
	return strings.Join(parts, " ")
}
