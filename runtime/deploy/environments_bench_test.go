//go:build unix

package deploy_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// manyPlan returns a plan of n services in one stage, whose image exists.
func manyPlan(key runtime.EnvironmentKey, n int) *plan.Plan {
	p := &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: key.Pipeline, DeployParallelism: 7},
		Environment: plan.EnvironmentRef{Name: key.Name, Kind: "environment"},
		Stages:      []plan.Stage{{Name: "one", Order: 1}},
	}
	for i := range n {
		s := container(fmt.Sprintf("svc-%d", i))
		s.Stage, s.Image.Ref, s.Timeout = "one", testImage, plan.Duration(10*time.Minute)
		p.Services = append(p.Services, s)
	}
	return p
}

// BenchmarkUnchanged deploys 500 unchanged services, like a new process, and reports the
// number of requests.
func BenchmarkUnchanged(b *testing.B) {
	config, asked := counting(testenv.Cluster(b))
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("bench"), Name: "dev"}
	b.Cleanup(func() { deleteNamespace(client(b, config), key.Namespace()) })
	p := manyPlan(key, 500)
	deploy := func() *runtime.RunRecord {
		record, err := runtimeOn(b, config).Run(b.Context(), runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p})
		if err != nil {
			b.Fatal(explainedRun(err))
		}
		return record
	}
	deploy()
	asked.take()
	for b.Loop() {
		if r := deploy(); slices.ContainsFunc(r.Services, func(s runtime.ServiceRecord) bool { return s.State != runtime.Unchanged }) {
			b.Fatal("something was deployed")
		}
		count := asked.take()
		b.ReportMetric(float64(count["all"]), "requests")
		b.Log("requests:", shown(count))
	}
}

const (
	previews  = 20
	processes = 4
	// previewKey makes this test binary a process that deletes and recreates previews.
	previewKey = "PIPE_DEPLOY_TEST_PREVIEWS"
)

func preview(pipeline string, i int) runtime.EnvironmentKey {
	return runtime.EnvironmentKey{Pipeline: pipeline, Name: fmt.Sprintf("pr-%d", i)}
}

// TestPreviews is the main function of this process.
func TestPreviews(t *testing.T) {
	var pipeline string
	var process int
	if _, err := fmt.Sscanf(os.Getenv(previewKey), "%s %d", &pipeline, &process); err != nil {
		t.Skip("it is what BenchmarkPreviews starts")
	}
	rt := runtimeOn(t, testenv.Cluster(t))
	var wg sync.WaitGroup
	for i := process; i < previews; i += processes {
		wg.Go(func() {
			if err := cycle(t.Context(), rt, pipeline, i); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// cycle deletes a preview and recreates it.
func cycle(ctx context.Context, rt *runtime.Runtime, pipeline string, i int) error {
	key := preview(pipeline, i)
	if _, err := rt.Run(ctx, runtime.Request{Action: runtime.Delete, Environment: key}); err != nil {
		return fmt.Errorf("delete %s: %w", key.Name, explainedRun(err))
	}
	return makePreview(ctx, rt, pipeline, i)
}

func makePreview(ctx context.Context, rt *runtime.Runtime, pipeline string, i int) error {
	key := preview(pipeline, i)
	source := runtime.EnvironmentKey{Pipeline: pipeline, Name: "staging"}
	if _, err := rt.Clone(ctx, runtime.CloneRequest{Source: source, Name: key.Name, Branch: "feature"}); err != nil {
		return err
	}
	if _, err := rt.Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: key}); err != nil {
		return fmt.Errorf("deploy %s: %w", key.Name, explainedRun(err))
	}
	return nil
}

// BenchmarkPreviews deletes and recreates 20 previews of 10 services in parallel from 4
// processes, and checks that they leave nothing.
func BenchmarkPreviews(b *testing.B) {
	config := testenv.Cluster(b)
	for b.Loop() {
		pipeline := runtimetest.Unique("bench")
		source := runtime.EnvironmentKey{Pipeline: pipeline, Name: "staging"}
		rt := runtimeOn(b, config)
		if _, err := rt.Run(b.Context(), runtime.Request{Action: runtime.Deploy, Environment: source, Plan: manyPlan(source, 10)}); err != nil {
			b.Fatal(explainedRun(err))
		}
		each20(b, func(i int) error { return makePreview(b.Context(), rt, pipeline, i) })
		begun := time.Now()
		var wg sync.WaitGroup
		for process := range processes {
			wg.Go(func() {
				child := exec.Command(os.Args[0], "-test.run=^TestPreviews$")
				child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", previewKey, pipeline, process), "PIPE_TEST_KUBECONFIG="+testenv.Kubeconfig(b))
				if out, err := child.CombinedOutput(); err != nil {
					b.Errorf("%v\n%s", err, out)
				}
			})
		}
		wg.Wait()
		b.ReportMetric(time.Since(begun).Seconds(), "recreate-s")
		each20(b, func(i int) error {
			_, err := rt.Run(b.Context(), runtime.Request{Action: runtime.Delete, Environment: preview(pipeline, i)})
			return explainedRun(err)
		})
		if _, err := rt.Run(b.Context(), runtime.Request{Action: runtime.Delete, Environment: source}); err != nil {
			b.Fatal(err)
		}
		if left := everything(b, config, pipeline); len(left) > 0 {
			b.Errorf("left over: %q", left)
		}
	}
}

// each20 calls a function for each preview, concurrently.
func each20(b *testing.B, do func(i int) error) {
	b.Helper()
	var wg sync.WaitGroup
	for i := range previews {
		wg.Go(func() {
			if err := do(i); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// everything returns the objects of all kinds whose namespace or name contains text, except
// events.
func everything(b *testing.B, config *rest.Config, text string) []string {
	lists, err := client(b, config).Discovery().ServerPreferredResources()
	if err != nil {
		b.Fatal(err)
	}
	all, err := metadata.NewForConfig(config)
	if err != nil {
		b.Fatal(err)
	}
	var found []string
	kinds := 0
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			b.Fatal(err)
		}
		for _, kind := range list.APIResources {
			if !slices.Contains(kind.Verbs, "list") || kind.Name == "events" || kind.Name == "componentstatuses" {
				continue
			}
			kinds++
			objects, err := all.Resource(gv.WithResource(kind.Name)).List(b.Context(), metav1.ListOptions{})
			if err != nil {
				b.Fatalf("list %s: %v", kind.Name, err)
			}
			for _, o := range objects.Items {
				if strings.Contains(o.Namespace+" "+o.Name, text) {
					found = append(found, kind.Name+" "+o.Namespace+"/"+o.Name)
				}
			}
		}
	}
	b.Logf("looked at %d kinds", kinds)
	return found
}
