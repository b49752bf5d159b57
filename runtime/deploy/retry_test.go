package deploy_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// TestComesBack makes the cluster unreachable at each write of an upgrade, before it is
// carried out or before it is answered, and reachable again: the deploy in progress
// completes, and reports that it was retried.
func TestComesBack(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	one, two := with(container("api"), "one"), with(container("api"), "two")
	two.Workload.Ports = nil // the upgrade deletes its Service
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after %v", after), func(t *testing.T) {
			t.Parallel()
			for n := int64(1); ; n++ {
				b := newBench(t, deploy.Options{Config: config})
				b.deploy(one)
				w, cuttable := newWire(t, config)
				var changes atomic.Int64
				cuttable.Wrap(func(next http.RoundTripper) http.RoundTripper {
					return roundTripper(func(r *http.Request) (*http.Response, error) {
						if r.Method == http.MethodGet || changes.Add(1) != n {
							return next.RoundTrip(r)
						}
						if after {
							answer, err := next.RoundTrip(r)
							if err != nil {
								return nil, err
							}
							answer.Body.Close()
						}
						w.cut(true)
						return nil, errKilled
					})
				})
				d := newDeployer(t, deploy.Options{Config: cuttable})
				if _, err := d.Deployed(t.Context(), b.namespace); err != nil { // so the cluster has answered before
					t.Fatal(err)
				}
				var told []string
				r := b.release(two)
				err := d.Act(t.Context(), runtime.Deploy, r, func(e runtime.Body) {
					if e, ok := e.(runtime.Retried); ok {
						told = append(told, e.What+": "+e.Error)
						w.cut(false)
					}
				})
				if err != nil {
					t.Fatalf("away at change %d: Deploy = %v", n, explained(err))
				}
				if changes.Load() < n {
					if n < 4 {
						t.Errorf("only %d requests change something", n-1)
					}
					return
				}
				if want := "deploy api: cluster " + cuttable.Host + " does not answer"; len(told) == 0 || strings.Join(told, "") != want {
					t.Errorf("away at change %d: it told %q, want %q", n, told, want)
				}
				if got := b.deployed("api"); !got.Ready || got.Fingerprint != r.Fingerprint || got.Status != "deployed" {
					t.Errorf("away at change %d: %+v is deployed", n, got)
				}
				b.checkHistory(n)
			}
		})
	}
}
