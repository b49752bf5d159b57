package ui

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// golden compares text with testdata/NAME.txt.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); rewrite it with -update:\n%s", file, diff)
	}
}

func at(line, col int) plan.Pos { return plan.Pos{File: "Pipelinefile", Line: line, Col: col} }

// shop is a plan with everything that the output of a plan shows.
func shop() *plan.Plan {
	return &plan.Plan{
		Version:     plan.Version,
		Pipeline:    plan.Pipeline{Name: "shop", Pos: at(1, 1)},
		Environment: plan.EnvironmentRef{Name: "branch-x", Kind: "preview", Source: "staging", Branch: "x"},
		Params: []plan.Param{
			{Name: "title", Type: "string", Value: "Shop", Default: true, Pos: at(2, 9)},
			{Name: "replicas", Type: "int", Value: "3", Pos: at(3, 12)},
		},
		Stages: []plan.Stage{
			{Name: "data", Order: 1, Description: "what keeps state", Pos: at(5, 1)},
			{Name: "apps", Order: 2},
			{Name: "last", Order: 3},
		},
		Services: []plan.Service{
			{Name: "db", Type: plan.Database, Stage: "data", Placed: plan.Placement{By: plan.ByRule, Pos: at(6, 1)},
				Image: plan.ImageSource{Mirror: "postgres:15"}, Timeout: plan.Duration(5 * time.Minute), Pos: at(10, 6)},
			{Name: "api", Type: plan.Application, Stage: "apps", Placed: plan.Placement{By: plan.ByStage, Pos: at(11, 30)},
				Image: plan.ImageSource{Build: "api"}, Timeout: plan.Duration(90 * time.Second),
				Workload: plan.Workload{Health: &plan.Health{Kind: plan.HealthHTTP, Path: "/"}}, Pos: at(11, 7)},
			{Name: "worker", Type: plan.Application, Stage: "apps", Placed: plan.Placement{By: plan.ByLatest},
				Image: plan.ImageSource{Build: "api"}, Timeout: plan.Duration(time.Minute), Pos: at(12, 1)},
			{Name: "site", Type: plan.Application, Stage: "apps", Placed: plan.Placement{By: plan.ByOverride},
				Image: plan.ImageSource{Build: "site"}, Chart: &plan.Chart{Ref: "site", Version: "1.2.3", Repo: "https://charts.example.com", Pos: at(13, 30)}, Pos: at(13, 1)},
			{Name: "mail", Type: plan.Container, Stage: "apps", Placed: plan.Placement{By: plan.ByStage}, Skip: true,
				SkipWhy: &plan.Reason{Text: "skip()", Pos: at(20, 1)}, Image: plan.ImageSource{Ref: "mail.example.com/mail:1"}, Pos: at(14, 1)},
		},
		Builds: []plan.BuildSpec{
			{ID: "api", Source: plan.Source{Path: "api"}, Context: ".", Dockerfile: "Dockerfile", Target: "prod", Pos: at(11, 20)},
			{ID: "site", Source: plan.Source{Git: "https://git.example.com/site.git", Ref: "x", Path: "web"}, Context: ".", Dockerfile: "Dockerfile"},
		},
		Warnings: []plan.Diagnostic{{Severity: plan.SeverityWarning, Pos: at(11, 20), Message: "no health check", Hint: "add health="}},
	}
}

func TestPlanText(t *testing.T) {
	p := shop()
	tests := map[string]Preview{
		"plan_unknown": {Plan: p, Namespace: "shop-branch-x", Unknown: "cluster: no kubeconfig"},
		"plan_steps": {Plan: p, Namespace: "shop-branch-x", Steps: []runtime.Step{
			{Stage: "data", Service: "db", Image: runtime.ImageMirror, Do: runtime.Deploying, Why: "postgres:15 is not in the registry; not deployed yet"},
			{Stage: "apps", Service: "api", Image: runtime.ImageBuild, Do: runtime.Deploying, Why: "no image of this source in the registry"},
			{Stage: "apps", Service: "worker", Do: runtime.Deploying, Why: "its image is made for api"},
			{Stage: "apps", Service: "site", Do: runtime.Failed, Why: "render site: chart site is not there", Commit: "0123456789abcdef0123456789abcdef01234567"},
			{Stage: "apps", Service: "mail", Do: runtime.Skipped, Why: "skip()"},
		}},
		"plan_nothing": {Plan: &plan.Plan{Pipeline: p.Pipeline, Environment: plan.EnvironmentRef{Name: "default", Kind: "environment"},
			Stages: p.Stages[1:2], Services: p.Services[1:2], Builds: p.Builds[:1]}, Namespace: "shop-default",
			Steps: []runtime.Step{{Stage: "apps", Service: "api", Do: runtime.Unchanged, Why: "already deployed"}}},
	}
	for name, v := range tests {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := Plan(&b, v); err != nil {
				t.Fatal(err)
			}
			golden(t, name, b.String())
		})
	}
}

func TestResultText(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rec := &runtime.RunRecord{Action: runtime.Deploy, Start: start, End: start.Add(83 * time.Second), Ahead: 42 * time.Second, Services: []runtime.ServiceRecord{
		{Service: "db", Stage: "data", State: runtime.Unchanged, Image: "127.0.0.1:5000/mirror/postgres@sha256:0123456789abcdef0123456789abcdef", Start: start, End: start},
		{Service: "api", Stage: "a long name", State: runtime.Done, Image: "127.0.0.1:5000/api@sha256:fedcba9876543210fedcba9876543210", Start: start, End: start.Add(82 * time.Second)},
		{Service: "mail", Stage: "a long name", State: runtime.Skipped},
	}}
	var b strings.Builder
	if err := Result(&b, "shop-default", rec); err != nil {
		t.Fatal(err)
	}
	golden(t, "result", b.String())
}

// TestFailuresText checks that each kind of failure names the service, its declaration,
// the cause, the evidence and the next step, and that the first cause comes first.
func TestFailuresText(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var n time.Duration
	fail := func(service, stage string, err error, evidence ...string) runtime.ServiceRecord {
		n++
		return runtime.ServiceRecord{Service: service, Stage: stage, State: runtime.Failed, Error: err.Error(), Err: err,
			Evidence: evidence, Start: start, End: start.Add(-n * time.Second)}
	}
	release := func(cause runtime.ReleaseCause, text string) error {
		return fmt.Errorf("deploy: %w", &runtime.ReleaseError{Release: "api", Cause: cause, Err: errors.New(text), RolledBack: 3})
	}
	late := func(cause runtime.ReleaseCause, err error) error {
		return fmt.Errorf("deploy: %w", &runtime.ReleaseError{Release: "api", Cause: cause, Err: err, RolledBack: 3})
	}
	advised := func(text, do string, options ...string) error {
		return runtime.Advise(errors.New(text), runtime.Advice{Do: do, Options: options})
	}
	const pull = `failed to pull and unpack image "r.example.com/site:1": failed to resolve reference "r.example.com/site:1": not found`
	timeout := fmt.Errorf("%w after 1m30s: deployment api: 0 of 1 replicas are available", runtime.ErrTimeout)
	var sameServices []runtime.MissingSecret
	for _, name := range []string{"one", "other"} {
		sameServices = append(sameServices, runtime.MissingSecret{
			Name: name, Keys: []string{"c"}, Services: []string{"recommendations", "notifications", "shipping-calculator", "customer-registration"}, Make: "kubectl …",
		})
	}
	mail := runtime.MissingSecret{
		Name: "mail", Keys: []string{"password", "user"}, Services: []string{"api", "site"},
		Make: "kubectl --namespace shop-staging create secret generic mail --from-literal=password=VALUE --from-literal=user=VALUE",
	}
	away := runtime.CommonError{
		Text: "registry r.example.com cannot be reached: connection refused: check that it is running, and its address",
		Err:  runtime.Advise(runtime.ErrUnreachable, runtime.Advice{Do: "run again when it can be reached"}),
	}
	absent := &runtime.CommonError{Text: "not found in registry docker.io: check the name and the tag", Err: runtime.ErrNotFound}
	tests := map[string][]runtime.ServiceRecord{
		"build": {fail("api", "apps", fmt.Errorf("build image of api: %w", &runtime.BuildError{
			Step: "RUN go build ./...", Pos: plan.Pos{File: "api/Dockerfile", Line: 4, Col: 1},
			Log: []string{"main.go:7:2: undefined: foo", "\x1b[31mFAIL\x1b[0m"}, Err: errors.New("exit code: 1")}))},
		"missing image":         {fail("db", "data", fmt.Errorf("copy image postgres:15: %w", runtime.ErrNotFound))},
		"crash":                 {fail("api", "apps", release(runtime.CauseCrash, "pod api-0 crashes"), "pod api-0: CrashLoopBackOff\n  exit code 3", "api-0 | no database")},
		"never ready":           {fail("api", "apps", late(runtime.CauseHealth, timeout), "pod api-0: Running, not ready")},
		"never ready, no check": {fail("worker", "apps", late("", timeout))},
		"a long pull": {fail("site", "apps", release(runtime.CauseImage, "deployment site: pod site-0: ImagePullBackOff: "+pull),
			"pod site-0: Pending on node one", "  container site: ErrImagePull: "+pull, `  event Failed: Failed to pull image "r.example.com/site:1": `+pull+" (4 times)",
			"  event Failed: Error: ErrImagePull", "  event Failed: Error: ErrImagePull", "  "+strings.Repeat("x", 500), "}", "}")},
		"base image": {fail("api", "apps", fmt.Errorf("build image of api: %w", runtime.Advise(&runtime.BuildError{Pos: plan.Pos{File: "api/Dockerfile", Line: 1}, Step: "FROM x.test/a", Err: errors.New("the image x.test/a cannot be pulled: no such host")},
			runtime.Advice{Do: "correct the name of that image, or run again when its registry can be reached"})))},
		"base image again": {fail("api", "apps", advised("build image of api: api/Dockerfile:1: FROM x.test/a: the image x.test/a cannot be pulled: connection refused", "correct the name of that image, or run again when its registry can be reached"))},
		"no repository":    {fail("site", "apps", advised("identify image of site: Pipelinefile:13:1: ask https://git.example.com/site.git for x: git ls-remote: Could not resolve host: git.example.com", "check the address and ref= of git()"))},
		"missing ref":      {fail("mail", "apps", fmt.Errorf("look for image mail.example.com/mail:1: %w", runtime.ErrNotFound))},
		"image's registry": {fail("mail", "apps", advised("look for image mail.example.com/mail:1: registry mail.example.com cannot be reached: no such host: check its name", `correct image="mail.example.com/mail:1"`))},
		"no builder":       {fail("api", "apps", advised("identify image of api: BuildKit at unix:///nope cannot be reached: no such file or directory: check that it is running", "start it, or use another builder", "BuildKit"))},
		"no runc":          {fail("api", "apps", advised("build image of api: start the embedded BuildKit: builder: building images needs runc, which is not there: install it, or use a BuildKit that you have", "install what is missing, or use another builder", "BuildKit"))},
		"no command":       {fail("api", "apps", release(runtime.CauseCommand, "deployment api: pod api-0: CreateContainerError: failed to generate spec: no command specified"))},
		"chart":            {fail("site", "apps", fmt.Errorf("render site: %w", &runtime.ChartError{Err: errors.New("chart of site: template: nil pointer")}))},
		"chart's secret":   {fail("site", "apps", fmt.Errorf("images of site: %w", &runtime.ChartError{Absent: []string{"smtp", "stripe"}, Err: errors.New("chart of site: template: auth.password is required")}))},
		"chart's kind":     {fail("site", "apps", fmt.Errorf("deploy site: %w", &runtime.ChartError{Kind: "Nope", Err: errors.New("the cluster does not know the kind Nope of v1: what brings it (a CRD) has to be installed before")}))},
		"chart's object":   {fail("site", "apps", release(runtime.CauseObject, `create configmap X_x: ConfigMap "X_x" is invalid: metadata.name: Invalid value`))},
		"service's object": {fail("api", "apps", release(runtime.CauseObject, `update statefulset api: StatefulSet "api" is invalid: spec: Forbidden: updates to statefulset spec`))},
		"no right":         {fail("api", "apps", release(runtime.CauseRights, `create ingress api: ingresses is forbidden: User "bo" cannot create resource "ingresses"`))},
		"job's pod":        {fail("api", "apps", release("", "job api: it has failed: DeadlineExceeded"), "pod api-0: Running on node one")},
		"deadline of a chart's job": {fail("site", "apps", fmt.Errorf("deploy site: %w", &runtime.ReleaseError{Release: "site", Deadline: "activeDeadlineSeconds of job migrate",
			Err: fmt.Errorf("%w: job migrate: it failed: Job was active longer than specified deadline", runtime.ErrTimeout)}))},
		"image of a chart": {fail("site", "apps", release(runtime.CauseImage, "pod site-0: ImagePullBackOff"))},
		"memory":           {fail("api", "apps", release(runtime.CauseMemory, "pod api-0: OOMKilled"))},
		"no node":          {fail("api", "apps", release(runtime.CauseNode, "pod api-0: 0/1 nodes are available: insufficient memory"))},
		"unbound claim": {fail("api", "apps", fmt.Errorf("deploy: %w", &runtime.ReleaseError{Release: "api", Err: fmt.Errorf("%w after 5s: deployment api: 0 of 1 replica is available (pod api-0: its volume claim api-data is not bound: it names no storage class, and the cluster has no default one)", runtime.ErrTimeout),
			Unbound: []runtime.UnboundClaim{{Name: "api-data", Why: "it names no storage class, and the cluster has no default one"}}}))},
		"unbound claim of a chart": {fail("site", "apps", fmt.Errorf("deploy: %w", &runtime.ReleaseError{Release: "site", Err: errors.New("pod site-0: its volume claim data is not bound: its storage class fast does not exist"),
			Unbound: []runtime.UnboundClaim{{Name: "data", Class: "fast", Why: "its storage class fast does not exist"}}}))},
		"other":         {fail("site", "apps", release(runtime.CauseObject, "a Service of that name is there already"))},
		"hook":          {fail("site", "apps", release(runtime.CauseHook, "job site-migrate: it failed"))},
		"quota":         {fail("api", "apps", release(runtime.CauseQuota, `replicaset api: FailedCreate: pods "api-0" is forbidden: exceeded quota: small`))},
		"disk":          {fail("api", "apps", fmt.Errorf("build image of api: %w", &fs.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}))},
		"registry gone": {fail("api", "apps", advised("build image of api: push the image to r.example.com/api:1: registry r.example.com cannot be reached: connection refused: check that it is running, and its address", "run again when it can be reached"))},
		"registry full": {fail("api", "apps", advised("copy image redis:7: registry r.example.com has no space left: free some space, or raise its quota", "make room on the disk of the registry and run again"))},
		"timeout":       {fail("api", "apps", timeout)},
		"refused": {fail("site", "apps", fmt.Errorf("check site: %w", &runtime.RefusedError{Release: "site", Changes: []runtime.RefusedChange{{
			Object: runtime.ObjectRef{Kind: "PersistentVolumeClaim", Name: "data"}, Fields: []string{"spec.storageClassName"}, Why: "Forbidden: spec is immutable after creation",
			Next: []string{"leave spec.storageClassName as it is", "or kubectl --namespace shop-staging delete persistentvolumeclaims data, and run again: ALL DATA of the volume is lost"},
		}}}))},
		"refused by a rule": {fail("site", "apps", fmt.Errorf("check site: %w", &runtime.RefusedError{Release: "site", Changes: []runtime.RefusedChange{{Object: runtime.ObjectRef{Kind: "Service", Name: "site"}, Why: "exceeded quota: small", Rules: []string{"ResourceQuota"}}}}))},
		"refused twice, deploying": {fail("site", "apps", fmt.Errorf("deploy site: %w", &runtime.ReleaseError{Release: "site", RolledBack: 3, Err: &runtime.RefusedError{Release: "site", Changes: []runtime.RefusedChange{
			{Object: runtime.ObjectRef{Kind: "ConfigMap", Name: "a"}, Why: "it exists", Exists: true, Next: []string{"give it another name in the chart of site"}},
			{Object: runtime.ObjectRef{Kind: "ConfigMap", Name: "b"}, Why: "it exists", Exists: true, Next: []string{"give it another name in the chart of site"}},
		}}}))},
		"late secret": {fail("api", "apps", fmt.Errorf("deploy api: %w", &runtime.SecretsError{
			Namespace: "shop-staging", Missing: []runtime.MissingSecret{mail}, Err: fmt.Errorf("%w after 5m0s", runtime.ErrTimeout),
		}))},
		"late secrets": {
			fail("api", "apps", fmt.Errorf("deploy api: %w", &runtime.SecretsError{Namespace: "shop-staging", Missing: []runtime.MissingSecret{mail}, Err: runtime.ErrTimeout})),
			fail("site", "apps", fmt.Errorf("deploy site: %w", &runtime.SecretsError{Namespace: "shop-staging", Missing: []runtime.MissingSecret{{
				Name: "cert", Keys: []string{"tls.key"}, Has: []string{"tls.crt"}, Services: []string{"site"},
				Make: `kubectl --namespace shop-staging patch secret cert --patch '{"stringData":{"tls.key":"VALUE"}}'`,
			}, mail, {
				Name: "token", Keys: []string{"value"}, Services: []string{"site"}, Make: "kubectl …",
				By: &runtime.SecretMaker{Object: "ExternalSecret tok", Why: "SecretSyncedError: no such entry", Show: "kubectl --namespace shop-staging describe externalsecrets.external-secrets.io tok"},
			}}, Err: runtime.ErrTimeout})),
		},
		"secrets of the same services": {
			fail("recommendations", "apps", fmt.Errorf("deploy: %w", &runtime.SecretsError{Namespace: "shop", Missing: sameServices, Err: runtime.ErrTimeout})),
			fail("notifications", "apps", fmt.Errorf("deploy: %w", &runtime.SecretsError{Namespace: "shop", Missing: sameServices, Err: runtime.ErrTimeout})),
		},
		"one cause": {
			fail("api", "apps", fmt.Errorf("look for image r.example.com/a:1: image r.example.com/a:1: %w", runtime.Advise(&away, runtime.Advice{Do: "correct image=\"r.example.com/a:1\""}))),
			fail("db", "data", fmt.Errorf("look for image r.example.com/b:1: image r.example.com/b:1: %w", &away)),
			fail("site", "apps", errors.New("another one")),
		},
		"images": {
			fail("api", "apps", &runtime.ImagesError{Images: []runtime.ImageFailure{{Ref: "r.example.com/a:1", Err: &away}}}),
			fail("site", "apps", &runtime.ImagesError{Images: []runtime.ImageFailure{
				{Ref: "r.example.com/b:1", In: "chart site: deployment site, container main", Err: fmt.Errorf("image b: %w", &away)},
				{Ref: "nginx:none", In: "chart site: job site, container main", Err: runtime.Advise(absent, runtime.Advice{Do: `name another image in values= of the service, or write images = "keep"`})},
				{Ref: "redis:none", In: "chart site: deployment site, init container first, and 1 more", Err: absent},
			}}),
		},
		"several": {fail("api", "apps", errors.New("second")), fail("worker", "apps", errors.New("first"))},
	}
	var b strings.Builder
	for _, name := range []string{"late secret", "late secrets", "secrets of the same services", "build", "missing image", "crash", "never ready", "never ready, no check", "a long pull", "image of a chart",
		"memory", "no node", "unbound claim", "unbound claim of a chart", "other", "hook", "quota", "disk", "registry gone", "registry full", "chart", "chart's secret", "chart's kind", "chart's object", "service's object",
		"no right", "job's pod", "deadline of a chart's job", "base image", "base image again", "no repository", "no builder", "no runc", "no command", "missing ref", "image's registry", "timeout", "refused", "refused by a rule", "refused twice, deploying", "one cause", "images", "several"} {
		if tests[name] == nil {
			t.Fatalf("no failure is called %q", name)
		}
		fmt.Fprintf(&b, "== %s\n", name)
		if err := Failures(&b, shop(), "shop-staging", tests[name], false); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "failures", b.String())
}

// TestSettled checks that the outcome reports what another run has done to services.
func TestSettled(t *testing.T) {
	done := runtime.ServiceRecord{Service: "web", State: runtime.Done}
	stopped := runtime.ServiceRecord{Service: "api", State: runtime.Unchanged, LeftAlone: &runtime.LeftAlone{Service: "api", Action: runtime.Stop}}
	failed := runtime.ServiceRecord{Service: "web", State: runtime.Failed, Error: "no"}
	for _, test := range []struct {
		problem  string
		services []runtime.ServiceRecord
		want     string
	}{
		{"", []runtime.ServiceRecord{done}, "dev has settled: everything is deployed\n"},
		{"", []runtime.ServiceRecord{done, stopped}, "dev has settled: everything else is deployed; left alone: api (stopped by another run)\n"},
		{"web failed", []runtime.ServiceRecord{failed, stopped}, "dev has settled: web failed; left alone: api (stopped by another run)\n  web  no\n"},
	} {
		var b strings.Builder
		if err := Settled(&b, "dev", test.problem, test.services); err != nil || b.String() != test.want {
			t.Errorf("Settled = %q, %v, want %q", b.String(), err, test.want)
		}
	}
}

func TestRegistryOf(t *testing.T) {
	for image, want := range map[string]string{
		"postgres:15": "docker.io", "library/x": "docker.io", "ghcr.io/a/b": "ghcr.io", "localhost/x": "localhost", "127.0.0.1:5000/x": "127.0.0.1:5000",
	} {
		if got := registryOf(image); got != want {
			t.Errorf("registryOf(%q) = %q, want %q", image, got, want)
		}
	}
}

// TestManyServices checks that five hundred services fit any screen, and that active ones
// are visible.
func TestManyServices(t *testing.T) {
	m := newModel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	names := make([]string, 500)
	for i := range names {
		names[i] = fmt.Sprintf("service-%03d", i)
	}
	m.apply(runtime.Event{Time: start, Body: runtime.RunStarted{Action: runtime.Deploy, Namespace: "big-default",
		Stages: []runtime.StageOutline{{Name: "one", Services: names[:250]}, {Name: "two", Services: names[250:]}}}})
	m.apply(runtime.Event{Time: start, Stage: "one", Body: runtime.StageStarted{}})
	for i, name := range names[:100] {
		state := runtime.Done
		if i >= 86 {
			state = runtime.Building
		}
		m.apply(runtime.Event{Time: start, Stage: "one", Service: name, Body: runtime.StateChanged{State: state}})
	}
	for _, height := range []int{4, 10, 24, 60} {
		p := painter{now: start, width: 60, height: height}
		lines := p.live(m)
		if len(lines) >= height {
			t.Errorf("height %d: %d lines", height, len(lines))
		}
		if height == 24 {
			golden(t, "many", strings.Join(lines, "\n")+"\n")
		}
	}
}

// TestWarningCaller checks that a warning about a declaration in a function names the
// call.
func TestWarningCaller(t *testing.T) {
	pos := func(line int) plan.Pos { return plan.Pos{File: "Pipelinefile", Line: line, Col: 1} }
	d := plan.Diagnostic{Pos: pos(3), Message: "m", Hint: "h", Stack: []plan.Frame{{Name: "<toplevel>", Pos: pos(5)}, {Name: "one", Pos: pos(3)}}}
	if got, want := warning(d), "Pipelinefile:3:1: warning: m; called at Pipelinefile:5:1; h"; got != want {
		t.Errorf("warning(%+v) = %q, want %q", d, got, want)
	}
}
