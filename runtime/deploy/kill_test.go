//go:build unix

package deploy_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
	"github.com/pipelinefile/pipe/runtime/store"
)

// kills is how many processes TestKills kills; "make kills" kills more.
var kills = flag.Int("kills", 20, "how many processes TestKills kills")

// life is the sequence of actions on one environment. Each is done first by a process that
// is disturbed, and then again by one that is not.
var life = []string{"deploy 1", "deploy 2", "stop", "start", "clone", "delete clone", "delete"}

// TestKills kills processes, with SIGKILL, at their writes to the cluster, before and after
// the server has carried them out, and at random times: whatever the action was, repeating
// it completes it, and nothing is lost, left over or duplicated (A6).
func TestKills(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	// An undisturbed life shows how many writes there are.
	writes := make(map[string]int64)
	calm := newVictim(t)
	for _, action := range life {
		var n atomic.Int64
		begun := time.Now()
		must(t, complete(t, runtimeOn(t, counted(config, &n)), calm.key, action))
		t.Logf("%s: %v", action, time.Since(begun).Round(10*time.Millisecond))
		calm.check(action)
		writes[action] = n.Load()
	}
	t.Logf("writes: %v", writes)
	var done atomic.Int64
	var wg sync.WaitGroup
	const parallel = 3
	for worker := range parallel {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 7))
			for turn := worker; int(done.Load()) < *kills && !t.Failed(); turn += parallel {
				v := newVictim(t)
				for _, action := range life {
					f := fate{Action: action, Key: v.key, Write: 1 + int64(turn/2*stride)%writes[action], After: turn%2 == 1}
					if turn%5 == 4 { // at a random time within its approximate duration
						f = fate{Action: action, Key: v.key, Millis: random.IntN(2500)}
					}
					if v.meets(f) {
						done.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d processes were killed", done.Load())
}

// stride spreads a few kills over all writes; no number of writes is a multiple of it.
const stride = 7

// TestTroubles makes the server reject, fail, be slow, and become unreachable for a while
// during each action: repeating the action without trouble produces the correct state.
func TestTroubles(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	for _, trouble := range []string{"429", "500", "slow", "restart"} {
		t.Run(trouble, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t)
			for _, action := range []string{"deploy 1", "deploy 2", "stop", "start", "delete"} {
				troubled, stop := withTrouble(t, config, trouble)
				err := perform(t.Context(), runtimeOn(t, troubled), v.key, action)
				stop()
				if err != nil && (trouble == "429" || trouble == "slow") {
					t.Errorf("%s = %v: this much should do nothing", action, err)
				}
				must(t, complete(t, runtimeOn(t, config), v.key, action))
				v.check(action)
			}
		})
	}
}

// A victim is an environment on which the actions of life are done.
type victim struct {
	t      *testing.T
	client kubernetes.Interface
	key    runtime.EnvironmentKey
	hooks  map[string]*hookRuns // by namespace, set by newVictim
}

func newVictim(t *testing.T) *victim {
	v := &victim{
		t: t, client: client(t, testenv.Cluster(t)), hooks: make(map[string]*hookRuns),
		key: runtime.EnvironmentKey{Pipeline: runtimetest.Unique("kill"), Name: "dev"},
	}
	for _, key := range []runtime.EnvironmentKey{v.key, copyOf(v.key)} {
		v.hooks[key.Namespace()] = watchHooks(t, v.client, key.Namespace())
	}
	t.Cleanup(func() {
		for _, key := range []runtime.EnvironmentKey{v.key, copyOf(v.key)} {
			deleteNamespace(v.client, key.Namespace())
			deleteNamespace(v.client, agentsOf(key))
		}
	})
	return v
}

// agentsOf returns the namespace of the service agent.
func agentsOf(key runtime.EnvironmentKey) string { return key.Namespace() + "-agents" }

// meets starts a process for an action, which meets its fate, then repeats the action and
// checks the resulting state. It reports whether the process was killed.
func (v *victim) meets(f fate) (killed bool) {
	killed = f.run(v.t)
	if err := complete(v.t, runtimeOn(v.t, testenv.Cluster(v.t)), v.key, f.Action); err != nil {
		v.t.Errorf("%v: once more = %v", f, err)
		return killed
	}
	before := v.t.Failed()
	if v.check(f.Action); v.t.Failed() && !before {
		v.t.Errorf("this was after %v", f)
	}
	return killed
}

// killPlan returns the plan to deploy: the first variant has a port that the second one does
// not have. The chart of the service shop is in the workspace of runtimeOn.
func killPlan(key runtime.EnvironmentKey, variant string) *plan.Plan {
	db := container("db")
	db.Type, db.Stage, db.Workload.Database = plan.Database, "one", &plan.DatabaseSpec{Engine: "postgresql", Version: "17", Storage: "1Gi"}
	api := with(container("api"), variant)
	api.Stage = "two"
	api.Workload.Env = append(api.Workload.Env, plan.EnvVar{Name: "DATABASE_URL", Secret: &plan.SecretRef{Service: "db", Key: "url"}})
	if variant == "2" {
		api.Workload.Ports = nil
		api.Workload.Health = &plan.Health{Kind: plan.HealthCommand, Command: []string{"true"}}
	}
	web := with(container("web"), variant)
	web.Stage = "two"
	shop := plan.Service{
		Name: "shop", Type: plan.Application, Stage: "two", Timeout: plan.Duration(2 * time.Minute),
		Chart: &plan.Chart{Ref: "shop"}, Values: plan.Values{"variant": variant},
	}
	agent := with(container("agent"), variant)
	agent.Stage, agent.Namespace = "two", "{pipeline}-{environment}-agents"
	p := &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: key.Pipeline},
		Environment: plan.EnvironmentRef{Name: key.Name, Kind: "environment"},
		Stages:      []plan.Stage{{Name: "one", Order: 1}, {Name: "two", Order: 2}},
		Services:    []plan.Service{db, api, web, shop, agent},
	}
	for i := range p.Services {
		p.Services[i].Image.Ref = testImage
	}
	return p
}

// check checks that the state is exactly the result of an action.
func (v *victim) check(action string) {
	v.t.Helper()
	verb, variant, _ := strings.Cut(action, " ")
	switch verb {
	case "delete":
		key := v.key
		if variant != "" {
			key = copyOf(key)
		}
		v.checkGone(action, key.Namespace())
		v.checkGone(action, agentsOf(key))
	case "clone":
		v.checkDeployed(copyOf(v.key), "2", false)
	case "deploy":
		v.checkDeployed(v.key, variant, false)
	default:
		v.checkDeployed(v.key, "2", verb == "stop")
	}
}

func (v *victim) checkGone(action, namespace string) {
	v.t.Helper()
	// A killed process may have been about to wait for that.
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		_, err := v.client.CoreV1().Namespaces().Get(v.t.Context(), namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return
		}
		if err != nil || time.Since(begun) > waitTime {
			v.t.Errorf("after %s namespace %s is there: %v", action, namespace, err)
			return
		}
	}
}

func (v *victim) checkDeployed(key runtime.EnvironmentKey, variant string, stopped bool) {
	t, ctx, namespace := v.t, v.t.Context(), key.Namespace()
	t.Helper()
	rt := runtimeOn(t, testenv.Cluster(t))
	for in, names := range map[string][]string{namespace: {"api", "db", "shop", "web"}, agentsOf(key): {"agent"}} {
		deployed, err := rt.Deployer.Deployed(ctx, in)
		must(t, err)
		if got := slices.Sorted(maps.Keys(deployed)); !slices.Equal(got, names) {
			t.Errorf("%s: there are the releases %v, want %v", in, got, names)
		}
		for name, d := range deployed {
			if d.Status != "deployed" || d.Fingerprint == "" || d.Ready == stopped || d.Stopped != stopped {
				t.Errorf("%s: %s is %+v, want it stopped: %v", in, name, d, stopped)
			}
			if wrong := wrongHistory(t, v.client, in, name); wrong != "" {
				t.Errorf("%s: %s", in, wrong)
			}
		}
	}
	if wrong := wrongHooks(t, v.client, namespace, "shop"); wrong != "" {
		t.Errorf("%s: %s", namespace, wrong)
	}
	if runs, ok := v.hooks[namespace]; ok {
		runs.check(t, namespace)
	}
	if got, want := v.objects(agentsOf(key), variant, stopped), []string{"deployment agent", "service agent"}; !slices.Equal(got, want) {
		t.Errorf("%s: there are %q, want %q", agentsOf(key), got, want)
	}
	want := []string{"claim db-data", "deployment api", "deployment shop", "deployment web", "secret db-credentials", "secret pipe-fingerprints", "service db", "service web", "set db"}
	if variant != "2" {
		want = append(want, "service api")
	}
	slices.Sort(want)
	if got := v.objects(namespace, variant, stopped); !slices.Equal(got, want) {
		t.Errorf("%s: there are %q, want %q", namespace, got, want)
	}
	s := store.Open(v.client, store.Options{})
	if held, err := s.Holder(ctx, key); err != nil || held != nil {
		t.Errorf("%s is held: %v, %v", namespace, held, err)
	}
	runs, err := s.Runs(ctx, key)
	if err != nil || len(runs) == 0 || runs[0].End.IsZero() || runs[0].Error != "" {
		t.Errorf("%s: the last run is %+v, %v", namespace, runs, err)
	}
	if env, err := s.Environment(ctx, key); err != nil || len(env.Images) != 5 {
		t.Errorf("%s: %v, %v", namespace, env, err)
	}
}

// objects returns the objects in a namespace, and checks the running ones.
func (v *victim) objects(namespace, want string, stopped bool) []string {
	t, ctx := v.t, v.t.Context()
	all := dataIn(t, v.client, namespace)
	for i, name := range all {
		if all[i] = "secret " + name; name == "db-data" {
			all[i] = "claim " + name
		}
	}
	services, err := v.client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	must(t, err)
	for _, o := range services.Items {
		all = append(all, "service "+o.Name)
	}
	sets, err := v.client.AppsV1().StatefulSets(namespace).List(ctx, metav1.ListOptions{})
	must(t, err)
	for _, o := range sets.Items {
		all = append(all, "set "+o.Name)
		if (*o.Spec.Replicas == 0) != stopped {
			t.Errorf("%s: %s has %d replicas, stopped: %v", namespace, o.Name, *o.Spec.Replicas, stopped)
		}
	}
	deployments, err := v.client.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	must(t, err)
	for _, o := range deployments.Items {
		all = append(all, "deployment "+o.Name)
		if got := variant(&corev1.Pod{Spec: o.Spec.Template.Spec}); got != want || (*o.Spec.Replicas == 0) != stopped {
			t.Errorf("%s: of %s variant %s runs with %d replicas, want %s, stopped: %v", namespace, o.Name, got, *o.Spec.Replicas, want, stopped)
		}
	}
	all = append(all, jobsIn(t, v.client, namespace)...) // those of hooks must be gone
	slices.Sort(all)
	return all
}

// explainedRun adds the known reasons to the error of a run.
func explainedRun(err error) error {
	var run *runtime.RunError
	if !errors.As(err, &run) {
		return err
	}
	text := ""
	for _, s := range run.Failed {
		text += fmt.Sprintf("\n%s: %s\n%s", s.Service, s.Error, strings.Join(s.Evidence, "\n"))
	}
	return fmt.Errorf("%w%s", err, text)
}

// waitTime is long, as a busy machine is slow.
const waitTime = 3 * time.Minute
