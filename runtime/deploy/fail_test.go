package deploy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// A bench is a Deployer with a namespace.
type bench struct {
	*deploy.Deployer
	t         *testing.T
	namespace string
}

func newBench(t *testing.T, opts deploy.Options) *bench {
	t.Helper()
	if opts.Config == nil {
		opts.Config = testenv.Cluster(t)
	}
	b := &bench{newDeployer(t, opts), t, namespace(t, testenv.Cluster(t))}
	b.prepare()
	return b
}

func (b *bench) prepare(services ...plan.Service) {
	b.t.Helper()
	if err := b.Prepare(b.t.Context(), keyOf(b.namespace), planOf(services...)); err != nil {
		b.t.Fatal(err)
	}
}

func planOf(services ...plan.Service) *plan.Plan {
	return &plan.Plan{Pipeline: plan.Pipeline{Name: "shop"}, Environment: plan.EnvironmentRef{Name: "dev"}, Services: services}
}

// release returns a release of a service with its fingerprint.
func (b *bench) release(s plan.Service) runtime.Release {
	b.t.Helper()
	r := releaseIn(b.namespace, s)
	r.OnFailure = runtime.Rollback
	if s.Chart != nil {
		r.Image = ""
	}
	var err error
	if r.Fingerprint, err = b.Fingerprint(b.t.Context(), r); err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) deploy(s plan.Service) runtime.Release {
	b.t.Helper()
	r := b.release(s)
	if err := b.Act(b.t.Context(), runtime.Deploy, r, discard); err != nil {
		b.t.Fatal(explained(err))
	}
	return r
}

// fails deploys a service that fails.
func (b *bench) fails(s plan.Service, onFailure runtime.OnFailure) *runtime.ReleaseError {
	b.t.Helper()
	r := b.release(s)
	r.OnFailure = onFailure
	err := b.Act(b.t.Context(), runtime.Deploy, r, discard)
	var failed *runtime.ReleaseError
	if !errors.As(err, &failed) {
		b.t.Fatalf("Deploy(%s) = %v, want a ReleaseError", s.Name, err)
	}
	return failed
}

func (b *bench) deployed(name string) runtime.Deployed {
	b.t.Helper()
	all, err := b.Deployed(b.t.Context(), b.namespace)
	if err != nil {
		b.t.Fatal(err)
	}
	return all[name]
}

// explained returns an error with its evidence.
func explained(err error) string {
	text := err.Error()
	var failed *runtime.ReleaseError
	if errors.As(err, &failed) {
		text += "\n" + strings.Join(failed.Evidence, "\n")
	}
	return text
}

func with(s plan.Service, variant string) plan.Service {
	s.Workload.Env = []plan.EnvVar{{Name: "VARIANT", Value: variant}}
	return s
}

// TestFailures deploys services that fail in the ways of pods. It checks that the reason is
// clear (A8), that the wait is not longer than necessary, and what is left.
func TestFailures(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: readingLogs(config)})
	k := newKubelet(t, config, by(map[string]func(*corev1.Pod) corev1.PodStatus{
		"no image":  waits("ErrImagePull", `failed to pull image "x": not found`),
		"bad name":  waits("InvalidImageName", `couldn't parse image name "x y"`),
		"crashes":   crashes,
		"no secret": waits("CreateContainerConfigError", `secret "missing" not found`),
		"starts":    starts,
	}))
	k.log("api", true, "first\nsecond: cannot connect to db\n")
	k.log("api", false, "listening, not ready yet\n")
	for _, test := range []struct {
		variant  string
		timeout  time.Duration
		cause    runtime.ReleaseCause
		want     string
		evidence []string
	}{
		{"no image", time.Minute, runtime.CauseImage, `ErrImagePull: failed to pull image "x": not found`, []string{"pod api-", "Pending on node kubelet-", "container api: ErrImagePull"}},
		{"bad name", time.Minute, runtime.CauseImage, "InvalidImageName", nil},
		{"crashes", time.Minute, runtime.CauseCrash, "CrashLoopBackOff: container api exited with status 7", []string{
			"container api: CrashLoopBackOff: back-off 40s restarting failed container (restarted 3 times)",
			"before that, container api exited with status 7",
			"the last lines of container api:", "    second: cannot connect to db",
		}},
		{"no secret", time.Minute, "", `CreateContainerConfigError: secret "missing" not found`, nil},
		{"starts", 2 * time.Second, runtime.CauseHealth, "timed out after 2s: deployment api: 0 of 1 replica is available", []string{"container api: it runs, but is not ready", "    listening, not ready yet"}},
	} {
		t.Run(test.variant, func(t *testing.T) {
			b := *b
			b.t = t
			good, bad := k.on(with(container("api"), "good")), k.on(with(container("api"), test.variant))
			bad.Timeout = plan.Duration(test.timeout)
			b.deploy(good)
			was := b.deployed("api")
			var logs []string
			r := b.release(bad)
			started := time.Now()
			err := b.Act(t.Context(), runtime.Deploy, r, func(e runtime.Body) {
				if l, ok := e.(runtime.Log); ok {
					logs = append(logs, l.Text)
				}
			})
			var failed *runtime.ReleaseError
			if !errors.As(err, &failed) {
				t.Fatalf("Deploy = %v, want a ReleaseError", err)
			}
			if took := time.Since(started); took > 30*time.Second {
				t.Errorf("it took %s to say so", took)
			}
			if failed.Cause != test.cause {
				t.Errorf("the cause is %q, want %q", failed.Cause, test.cause)
			}
			contains(t, err.Error(), "deployment api: ", test.want)
			contains(t, explained(err), test.evidence...)
			for _, line := range test.evidence {
				if text, ok := strings.CutPrefix(line, "    "); ok {
					contains(t, strings.Join(logs, "\n"), text)
				}
			}
			if isLate := errors.Is(err, runtime.ErrTimeout); isLate != (test.variant == "starts") {
				t.Errorf("the error is a timeout: %v", isLate)
			}
			if failed.RolledBack != was.Revision {
				t.Errorf("gone back to revision %d, want %d", failed.RolledBack, was.Revision)
			}
			want := runtime.Deployed{Fingerprint: was.Fingerprint, Ready: true, Status: "deployed", Revision: was.Revision + 2, Owner: keyOf(b.namespace)}
			if got := b.deployed("api"); got != want {
				t.Errorf("afterwards %+v is deployed, want %+v", got, want)
			}
		})
	}
}

// TestFailedFirst checks that a first install that fails is kept for inspection, and that
// the next deploy, with the error corrected, is an upgrade of it.
func TestFailedFirst(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config})
	k := newKubelet(t, config, by(map[string]func(*corev1.Pod) corev1.PodStatus{"bad": waits("InvalidImageName", "no")}))
	failed := b.fails(k.on(with(container("api"), "bad")), runtime.Rollback)
	if failed.RolledBack != 0 {
		t.Errorf("gone back to revision %d of one", failed.RolledBack)
	}
	if got := b.deployed("api"); got.Status != "failed" || got.Ready || got.Revision != 1 {
		t.Errorf("afterwards %+v is deployed, want revision 1, failed", got)
	}
	if _, err := client(t, config).AppsV1().Deployments(b.namespace).Get(t.Context(), "api", metav1.GetOptions{}); err != nil {
		t.Errorf("what failed is not there to be looked at: %v", err)
	}
	r := b.deploy(k.on(with(container("api"), "good")))
	if got, want := b.deployed("api"), (runtime.Deployed{Fingerprint: r.Fingerprint, Ready: true, Status: "deployed", Revision: 2, Owner: keyOf(b.namespace)}); got != want {
		t.Errorf("afterwards %+v is deployed, want %+v", got, want)
	}
}

// TestCancelledWait checks that a deploy whose wait is cancelled leaves a complete release,
// and that the next one only waits (A4).
func TestCancelledWait(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config})
	k := newKubelet(t, config, starts)
	s := k.on(with(container("api"), "good"))
	r := b.release(s)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	err := b.Act(ctx, runtime.Deploy, r, func(e runtime.Body) {
		if _, ok := e.(runtime.PodChanged); ok {
			cancel(stopped)
		}
	})
	if !errors.Is(err, stopped) {
		t.Fatalf("Deploy = %v, want %v", err, stopped)
	}
	want := runtime.Deployed{Fingerprint: r.Fingerprint, Status: "deployed", Revision: 1, Owner: keyOf(b.namespace)}
	if got := b.deployed("api"); got != want {
		t.Errorf("afterwards %+v is deployed, want %+v", got, want)
	}
	k.now(runs)
	b.deploy(s)
	want.Ready = true
	if got := b.deployed("api"); got != want {
		t.Errorf("after the next deploy %+v is deployed, want %+v", got, want)
	}
}

// TestRollbackKeeps: a rollback keeps what others have set on an object that the failed
// revision does not have, and that was not deleted yet (A8).
func TestRollbackKeeps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Dir: dir})
	s := writeChart(t, dir, "web", map[string]string{"templates/all.yaml": `
apiVersion: v1
{{- if eq .Values.tag "1" }}
kind: ConfigMap
metadata: {name: settings}
data: {ours: "1"}
{{- else }}
kind: Service
metadata: {name: settings}
spec: {ports: [{port: 99999}]}
{{- end }}
`})
	b.deploy(tagged(s, "1"))
	maps := client(t, testenv.Cluster(t)).CoreV1().ConfigMaps(b.namespace)
	settings, err := maps.Get(t.Context(), "settings", metav1.GetOptions{})
	must(t, err)
	settings.Data["theirs"] = "2"
	_, err = maps.Update(t.Context(), settings, metav1.UpdateOptions{})
	must(t, err)
	if failed := b.fails(tagged(s, "2"), runtime.Rollback); failed.RolledBack != 1 {
		t.Errorf("went back to revision %d: %v", failed.RolledBack, explained(failed))
	}
	settings, err = maps.Get(t.Context(), "settings", metav1.GetOptions{})
	must(t, err)
	if settings.Data["ours"] != "1" || settings.Data["theirs"] != "2" {
		t.Errorf("the object has %v", settings.Data)
	}
}
