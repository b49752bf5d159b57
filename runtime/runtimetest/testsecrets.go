package runtimetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// needing returns a plan with two services: "api" needs two keys of the Secret mail, and
// "web" needs one of them and another Secret.
func (dt DeployerTest) needing(t *testing.T, key runtime.EnvironmentKey) *plan.Plan {
	t.Helper()
	p := &plan.Plan{Version: plan.Version, Pipeline: plan.Pipeline{Name: key.Pipeline}}
	add := func(name string, refs ...plan.SecretRef) {
		s, _ := dt.Service(t, name, "one")
		s.Timeout = plan.Duration(time.Minute)
		s.Workload.Env = nil
		for _, ref := range refs {
			s.Workload.Env = append(s.Workload.Env, plan.EnvVar{Name: "V_" + ref.Key, Secret: &ref})
		}
		p.Services = append(p.Services, s)
	}
	add("api", plan.SecretRef{Name: "mail", Key: "user"}, plan.SecretRef{Name: "mail", Key: "password"})
	add("web", plan.SecretRef{Name: "mail", Key: "user"}, plan.SecretRef{Name: "token"})
	return p
}

// testDeployerSecrets: missing Secrets are reported for each Secret, and awaited for each
// service.
func testDeployerSecrets(t *testing.T, dt DeployerTest) {
	key := dt.key(t)
	p := dt.needing(t, key)
	missing := func() []runtime.MissingSecret {
		t.Helper()
		if err := dt.Deployer.Prepare(t.Context(), key, p); err != nil {
			t.Fatalf("Prepare of what has Secrets that are missing = %v", err)
		}
		all, err := dt.Deployer.MissingSecrets(t.Context(), key, p)
		if err != nil {
			t.Fatalf("MissingSecrets = %v", err)
		}
		for i := range all {
			if all[i].Make == "" || all[i].Never != "" {
				t.Errorf("%s: to make it: %q, never: %q", all[i].Name, all[i].Make, all[i].Never)
			}
			all[i].Make = ""
		}
		return all
	}
	mail := runtime.MissingSecret{Name: "mail", Keys: []string{"password", "user"}, Services: []string{"api", "web"}}
	token := runtime.MissingSecret{Name: "token", Keys: []string{"value"}, Services: []string{"web"}}
	if got, want := missing(), []runtime.MissingSecret{mail, token}; !reflect.DeepEqual(got, want) {
		t.Errorf("MissingSecrets = %+v, want %+v", got, want)
	}

	await := func(ctx context.Context, service string) <-chan error {
		ended := make(chan error, 1)
		go func() { ended <- dt.Deployer.AwaitSecrets(ctx, key, p, service, discard) }()
		return ended
	}
	// If a wait is cancelled, the error lists the missing Secrets of all services.
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("no more")
	ended := await(ctx, "api")
	cancel(stop)
	var own *runtime.SecretsError
	err := <-ended
	if !errors.Is(err, stop) || errors.As(err, &own) && own.Namespace != key.Namespace() {
		t.Errorf("AwaitSecrets that was cancelled = %v", err)
	}

	api, web := await(t.Context(), "api"), await(t.Context(), "web")
	dt.SetSecret(t, key, "mail", "user")
	half := runtime.MissingSecret{Name: "mail", Keys: []string{"password"}, Has: []string{"user"}, Services: []string{"api"}}
	if got, want := missing(), []runtime.MissingSecret{half, token}; !reflect.DeepEqual(got, want) {
		t.Errorf("MissingSecrets, with one key = %+v, want %+v", got, want)
	}
	dt.SetSecret(t, key, "mail", "user", "password")
	if err := <-api; err != nil {
		t.Errorf("AwaitSecrets(api) = %v", err)
	}
	select {
	case err := <-web:
		t.Errorf("AwaitSecrets(web) = %v before its Secret is there", err)
	default:
	}
	dt.SetSecret(t, key, "token", "value")
	if err := <-web; err != nil {
		t.Errorf("AwaitSecrets(web) = %v", err)
	}
	if all := missing(); len(all) > 0 {
		t.Errorf("MissingSecrets, when all are there = %v", all)
	}

	late := p.Service("web")
	late.Timeout = plan.Duration(time.Second)
	late.Workload.Env[0].Secret = &plan.SecretRef{Name: "never"}
	err = dt.Deployer.AwaitSecrets(t.Context(), key, p, "web", discard)
	if !errors.Is(err, runtime.ErrTimeout) || !errors.As(err, &own) || len(own.Missing) != 1 || own.Missing[0].Name != "never" {
		t.Errorf("AwaitSecrets whose time is over = %v", err)
	}
}
