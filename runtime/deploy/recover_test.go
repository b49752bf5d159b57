package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

var errKilled = errors.New("killed")

// dying returns a config for a process that dies at its n-th write, before or after the
// server has carried it out, and a flag that is set when it has died.
func dying(config *rest.Config, n int64, after bool) (*rest.Config, *atomic.Bool) {
	var changes atomic.Int64
	dead := new(atomic.Bool)
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if dead.Load() {
				return nil, errKilled
			}
			if r.Method == http.MethodGet || changes.Add(1) != n {
				return next.RoundTrip(r)
			}
			dead.Store(true)
			if after {
				if resp, err := next.RoundTrip(r); err == nil {
					resp.Body.Close()
				}
			}
			return nil, errKilled
		})
	})
	return config, dead
}

// TestKilled kills a process at each write in an install, an upgrade and a deletion. The next
// process needs no help, nothing is duplicated, and Helm's history has no gap (A6).
func TestKilled(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	one, two := with(container("api"), "one"), with(container("api"), "two")
	two.Workload.Ports = nil // the upgrade deletes its Service
	k := newKubelet(t, config, by(map[string]func(*corev1.Pod) corev1.PodStatus{"bad": waits("InvalidImageName", "no")}))
	for _, after := range []bool{false, true} {
		for _, action := range []string{"install", "upgrade", "rollback", "delete"} {
			t.Run(fmt.Sprintf("%s, after %v", action, after), func(t *testing.T) {
				t.Parallel()
				one := one
				if action == "rollback" {
					one = k.on(one)
				}
				for n := int64(1); ; n++ {
					b := newBench(t, deploy.Options{Config: config})
					if action != "install" {
						b.deploy(one)
					}
					r := b.release(one)
					do := r
					switch action {
					case "upgrade":
						r = b.release(two)
						do = r
					case "rollback":
						do = b.release(k.on(with(container("api"), "bad")))
					}
					mortal, dead := dying(config, n, after)
					d := newDeployer(t, deploy.Options{Config: mortal})
					var err error
					if action == "delete" {
						err = d.Act(t.Context(), runtime.Delete, do, discard)
					} else {
						err = d.Act(t.Context(), runtime.Deploy, do, discard)
					}
					if !dead.Load() {
						if (err != nil) != (action == "rollback") {
							t.Fatalf("nobody was killed, but %s = %v", action, err)
						}
						if n < 4 {
							t.Errorf("only %d requests change something", n-1)
						}
						return
					}
					if err == nil {
						t.Errorf("killed at change %d, %s = nil", n, action)
					}
					if d := b.deployed("api"); d.Ready && d.Fingerprint == do.Fingerprint && action != "delete" && !after {
						t.Errorf("killed at change %d, it counts as done", n)
					}
					b.afterDeath(action, r, n)
				}
			})
		}
	}
}

// afterDeath repeats the interrupted action, and checks the resulting state.
func (b *bench) afterDeath(action string, r runtime.Release, n int64) {
	b.t.Helper()
	if action == "delete" {
		if err := b.Act(b.t.Context(), runtime.Delete, r, discard); err != nil {
			b.t.Errorf("killed at change %d: delete again = %v", n, err)
		}
		if got := b.deployed("api"); got != (runtime.Deployed{}) {
			b.t.Errorf("killed at change %d: %+v is left", n, got)
		}
	}
	if got := b.deployed("api"); !got.Ready || got.Fingerprint != r.Fingerprint {
		if err := b.Act(b.t.Context(), runtime.Deploy, r, discard); err != nil {
			b.t.Errorf("killed at change %d: deploy = %v", n, explained(err))
			return
		}
	}
	if got := b.deployed("api"); !got.Ready || got.Fingerprint != r.Fingerprint || got.Status != "deployed" {
		b.t.Errorf("killed at change %d: in the end %+v is deployed", n, got)
	}
	b.checkHistory(n)
	c := client(b.t, testenv.Cluster(b.t))
	d, err := c.AppsV1().Deployments(b.namespace).Get(b.t.Context(), "api", metav1.GetOptions{})
	if err != nil {
		b.t.Errorf("killed at change %d: %v", n, err)
		return
	}
	if got, want := d.Spec.Template.Spec.Containers[0].Env[0].Value, r.Service.Workload.Env[0].Value; got != want {
		b.t.Errorf("killed at change %d: variant %s runs, want %s", n, got, want)
	}
	_, err = c.CoreV1().Services(b.namespace).Get(b.t.Context(), "api", metav1.GetOptions{})
	if wants := len(r.Service.Workload.Ports) > 0; wants != (err == nil) || err != nil && !apierrors.IsNotFound(err) {
		b.t.Errorf("killed at change %d: there should be a Service: %v; there is: %v", n, wants, err)
	}
}

// checkHistory checks the history of the release api.
func (b *bench) checkHistory(n int64) {
	b.t.Helper()
	if wrong := wrongHistory(b.t, client(b.t, testenv.Cluster(b.t)), b.namespace, "api"); wrong != "" {
		b.t.Errorf("killed at change %d: %s", n, wrong)
	}
}

// wrongHistory returns the error in the history of a release, in which the revisions must be
// consecutive, none pending, and exactly one deployed.
func wrongHistory(t *testing.T, c kubernetes.Interface, namespace, release string) string {
	t.Helper()
	list, err := c.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "owner=helm,name=" + release})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range list.Items {
		all = append(all, fmt.Sprintf("%s %s", s.Labels["version"], s.Labels["status"]))
	}
	slices.Sort(all)
	deployed := 0
	for i, text := range all {
		version, status, _ := strings.Cut(text, " ")
		if version != fmt.Sprint(i+1) || strings.Contains(status, "pending") || strings.Contains(status, "uninstalling") {
			return fmt.Sprintf("the history of %s is %q", release, all)
		}
		if status == "deployed" {
			deployed++
		}
	}
	if deployed != 1 {
		return fmt.Sprintf("%d revisions of %s are deployed: %q", deployed, release, all)
	}
	return ""
}

// TestLeftover checks that objects that only a failed revision has are deleted with the next
// revision.
func TestLeftover(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	one, two, three := with(container("api"), "one"), with(container("api"), "two"), with(container("api"), "three")
	one.Workload.Ports, three.Workload.Ports = nil, nil
	one.Workload.Health, three.Workload.Health = nil, nil
	b := newBench(t, deploy.Options{Config: config})
	b.deploy(one)
	mortal, dead := dying(config, 4, false) // record, Service, Deployment, record
	if err := newDeployer(t, deploy.Options{Config: mortal}).Act(t.Context(), runtime.Deploy, b.release(two), discard); err == nil || !dead.Load() {
		t.Fatalf("it did not die: %v", err)
	}
	if _, err := client(t, config).CoreV1().Services(b.namespace).Get(t.Context(), "api", metav1.GetOptions{}); err != nil {
		t.Fatalf("the Service was to be written before it died: %v", err)
	}
	b.deploy(three)
	if _, err := client(t, config).CoreV1().Services(b.namespace).Get(t.Context(), "api", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Service of a revision that failed is left: %v", err)
	}
}

// TestRealHelm checks with the helm command that releases are ordinary ones (D3), and what
// happens if a user changes them with it.
func TestRealHelm(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	run := helm(t)
	must := func(args ...string) string {
		t.Helper()
		out, err := run(args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	b := newBench(t, deploy.Options{Config: config})
	first := b.deploy(with(container("api"), "one"))
	second := b.deploy(with(container("api"), "two"))

	var list []struct{ Name, Revision, Status, Chart string }
	if err := json.Unmarshal([]byte(must("list", "--namespace", b.namespace, "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Name != "api" || list[0].Revision != "2" || list[0].Status != "deployed" || list[0].Chart != "api-0.1.0" {
		t.Errorf("helm list = %+v", list)
	}
	var history []struct {
		Revision int
		Status   string
	}
	if err := json.Unmarshal([]byte(must("history", "api", "--namespace", b.namespace, "-o", "json")), &history); err != nil {
		t.Fatal(err)
	}
	if len(history) != 2 || history[0].Status != "superseded" || history[1].Status != "deployed" {
		t.Errorf("helm history = %+v", history)
	}
	contains(t, must("get", "values", "api", "--namespace", b.namespace), "reference: "+testImage, "pipeline: "+keyOf(b.namespace).Pipeline)

	// After a manual rollback, it is not the deployed release, whatever the labels say.
	must("rollback", "api", "1", "--namespace", b.namespace, "--wait")
	if got, want := b.deployed("api"), (runtime.Deployed{Status: "deployed", Revision: 3, Owner: keyOf(b.namespace)}); got != want {
		t.Errorf("after helm rollback %+v is deployed, want %+v", got, want)
	}
	if err := b.Act(t.Context(), runtime.Deploy, first, discard); err != nil {
		t.Fatal(err)
	}
	if got, want := b.deployed("api"), (runtime.Deployed{Fingerprint: first.Fingerprint, Ready: true, Status: "deployed", Revision: 4, Owner: keyOf(b.namespace)}); got != want {
		t.Errorf("after the next deploy %+v is deployed, want %+v", got, want)
	}

	// After a deletion that keeps the history, it is installed again.
	must("uninstall", "api", "--namespace", b.namespace, "--keep-history")
	if got := b.deployed("api"); got != (runtime.Deployed{}) {
		t.Errorf("after helm uninstall %+v is deployed", got)
	}
	if err := b.Act(t.Context(), runtime.Deploy, second, discard); err != nil {
		t.Fatal(err)
	}
	if got := b.deployed("api"); !got.Ready || got.Fingerprint != second.Fingerprint || got.Revision != 5 {
		t.Errorf("after the next deploy %+v is deployed, want it ready as revision 5", got)
	}
	must("upgrade", "api", filepath.Join(chartDir(t, "api"), "api"), "--namespace", b.namespace, "--set", "image.reference=nginx", "--wait")
	if got := b.deployed("api"); got.Fingerprint != "" || got.Ready {
		t.Errorf("after helm upgrade %+v is deployed, want it to be somebody else's", got)
	}
}

// TestHistoryRefused makes the server fail when it is asked to record that revision 1 is superseded, which
// Helm ignores: once, and always. There is one deployed revision at the end, of this run or of the next one.
func TestHistoryRefused(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	k := newKubelet(t, config, by(map[string]func(*corev1.Pod) corev1.PodStatus{"bad": waits("InvalidImageName", "no")}))
	for _, action := range []string{"upgrade", "rollback"} {
		for _, always := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, always %v", action, always), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, deploy.Options{Config: config})
				b.deploy(k.on(with(container("api"), "one")))
				two := b.release(k.on(with(container("api"), "two")))
				do := two
				if action == "rollback" {
					do = b.release(k.on(with(container("api"), "bad")))
				}
				var refused atomic.Int64
				refusing := rest.CopyConfig(config)
				refusing.Wrap(func(next http.RoundTripper) http.RoundTripper {
					return roundTripper(func(r *http.Request) (*http.Response, error) {
						if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/secrets/sh.helm.release.v1.api.v1") && (refused.Add(1) == 1 || always) {
							return answered(r, http.StatusInternalServerError), nil
						}
						return next.RoundTrip(r)
					})
				})
				err := newDeployer(t, deploy.Options{Config: refusing}).Act(t.Context(), runtime.Deploy, do, discard)
				if refused.Load() < 2 {
					t.Errorf("revision 1 was written %d times", refused.Load())
				}
				if fails := action == "rollback" || always; (err != nil) != fails {
					t.Fatalf("Deploy = %v", err)
				}
				if always {
					contains(t, explained(err), "note in Secret sh.helm.release.v1.api.v1 that revision 1 is superseded: ")
					if got := b.deployed("api"); got.Ready {
						t.Errorf("%+v counts as done", got)
					}
					if err := b.Act(t.Context(), runtime.Deploy, two, discard); err != nil {
						t.Fatal(explained(err))
					}
				}
				if wrong := wrongHistory(t, client(t, config), b.namespace, "api"); wrong != "" {
					t.Error(wrong)
				}
			})
		}
	}
}

// TestHistoryMax checks that old revisions are deleted.
func TestHistoryMax(t *testing.T) {
	t.Parallel()
	b := newBench(t, deploy.Options{Config: testenv.Cluster(t), HistoryMax: 3})
	for i := range 6 {
		b.deploy(with(container("api"), fmt.Sprint(i)))
	}
	list, err := client(t, testenv.Cluster(t)).CoreV1().Secrets(b.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "owner=helm,name=api"})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 3 {
		t.Errorf("%d revisions are kept, want 3", len(list.Items))
	}
	if got := b.deployed("api"); got.Revision != 6 || !got.Ready {
		t.Errorf("%+v is deployed", got)
	}
}

// TestTakenName checks that an object of another owner is not taken over, and that nothing
// is written in this case.
func TestTakenName(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config})
	s := container("api")
	if _, err := client(t, config).CoreV1().Services(b.namespace).Create(t.Context(), foreignService("api"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	err := b.Act(t.Context(), runtime.Deploy, b.release(s), discard)
	if err == nil {
		t.Fatal("Deploy = nil")
	}
	contains(t, err.Error(), "service api: it exists, and belongs to nobody that it names (it was made with deploy.test), not to release api")
	if got := b.deployed("api"); got != (runtime.Deployed{}) {
		t.Errorf("%+v is deployed", got)
	}
	if _, err := client(t, config).CoreV1().ServiceAccounts(b.namespace).Get(t.Context(), "api", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("something was written: %v", err)
	}
}

// TestFailureNotRecorded checks that a revision whose failure could not be recorded, neither by
// Helm nor afterwards, does not keep the release from going back, and is recorded as failed by
// the next run, although it is no longer the last one (A6, A8).
func TestFailureNotRecorded(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config})
	b.deploy(with(container("api"), "one"))
	var created atomic.Int64 // revisions: the second one, and the one that goes back to the first
	refusing := rest.CopyConfig(config)
	refusing.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/secrets") {
				created.Add(1)
			}
			record := r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/secrets/sh.helm.release.v1.api.v2")
			object := r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/deployments/api") && !r.URL.Query().Has("dryRun")
			if record || object && created.Load() == 1 {
				return answered(r, http.StatusInternalServerError), nil
			}
			return next.RoundTrip(r)
		})
	})
	two := b.release(with(container("api"), "two"))
	err := newDeployer(t, deploy.Options{Config: refusing}).Act(t.Context(), runtime.Deploy, two, discard)
	var failed *runtime.ReleaseError
	if !errors.As(err, &failed) {
		t.Fatalf("Deploy = %v, want a ReleaseError", err)
	}
	if evidence := strings.Join(failed.Evidence, "\n"); !strings.Contains(evidence, "that revision 2 failed could not be recorded") {
		t.Errorf("the evidence is:\n%s", evidence)
	}
	if failed.RolledBack != 1 {
		t.Errorf("gone back to revision %d, want 1:\n%s", failed.RolledBack, explained(err))
	}
	b.afterDeath("upgrade", two, 0)
}
