package eject

import (
	"slices"
	"testing"
	"time"

	"go.starlark.net/syntax"
	"helm.sh/helm/v3/pkg/chartutil"

	vocabulary "github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/runtime/chart"
)

// describing are the functions that describe objects, besides those that declare services.
var describing = []string{
	"port", "http", "tcp", "grpc", "command", "resources", "autoscale", "rule", "disruption", "strategy", "spread",
	"volume", "disk", "existing_volume", "scratch", "file", "field", "config_map", "sidecar", "init", "patch",
}

// without are the parameters that decide nothing about the objects of a service.
var without = []string{"stage", "skip", "timeout", "adopt", "mirror", "sync", "local"}

// TestEveryArgument: the program of [TestSameObjects] gives every argument that decides
// which objects a service has.
func TestEveryArgument(t *testing.T) {
	file, err := (&syntax.FileOptions{}).Parse("Pipelinefile", program, 0)
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]map[string]bool{} // by function and parameter
	services := map[string]bool{}         // by parameter
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok {
			return true
		}
		name, ok := call.Fn.(*syntax.Ident)
		if !ok {
			return true
		}
		if given[name.Name] == nil {
			given[name.Name] = map[string]bool{}
		}
		for _, f := range vocabulary.Standard() {
			if f.Name != name.Name {
				continue
			}
			for i, arg := range call.Args {
				param := f.Params[min(i, len(f.Params)-1)].Name
				if named, ok := arg.(*syntax.BinaryExpr); ok && named.Op == syntax.EQ {
					param = named.X.(*syntax.Ident).Name
				}
				given[f.Name][param] = true
				if f.Result == "service" {
					services[param] = true
				}
			}
		}
		return true
	})
	for _, f := range vocabulary.Standard() {
		service := f.Result == "service"
		if !service && !slices.Contains(describing, f.Name) {
			continue
		}
		for _, p := range f.Params {
			if !slices.Contains(without, p.Name) && !given[f.Name][p.Name] && (!service || !services[p.Name]) {
				t.Errorf("no call of %s() in the program has %s=", f.Name, p.Name)
			}
		}
	}
}

// BenchmarkRender generates the chart of a service that has most of the features, and
// renders it. The metric render-ms is the fastest rendering alone, because the machine may
// be busy.
func BenchmarkRender(b *testing.B) {
	dir, p := workspace(b)
	shelf := chart.NewShelf(dir, b.TempDir())
	s := *p.Service("every")
	use := chart.Use{Pipeline: "shop", Environment: "staging", Service: s.Name, Image: "nginx:1", Images: map[string]string{"agent": "agent:1", "load": "load:1", "wait": "busybox:1"}, Values: s.Values}
	fastest := time.Hour
	for b.Loop() {
		made, err := shelf.Chart(b.Context(), s, chart.SecretKey)
		if err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		files, err := made.Render(b.Context(), nil, chartutil.ReleaseOptions{Name: s.Name, Namespace: "shop-staging", Revision: 1, IsInstall: true}, use, chart.Cluster{})
		if err != nil || len(files) == 0 {
			b.Fatalf("%d files, %v", len(files), err)
		}
		fastest = min(fastest, time.Since(begun))
	}
	b.ReportMetric(float64(fastest.Microseconds())/1000, "render-ms")
}
