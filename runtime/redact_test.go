package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// value is that of a secret.
const value = "s3cr3t-value"

func hide(text string) string { return strings.ReplaceAll(text, value, "REDACTED") }

// names are the strings of events that are names, which are never cut. Every
// other string quotes a program or a server, and must be redacted: whoever adds
// one decides which it is.
var names = []string{
	"RunStarted.Run", "RunStarted.Namespace", "StageOutline.Name", "StageOutline.Services", "BuildStep.ID", "Transfer.Image", "TagMoved.Image", "Scanned.Image",
	"PodChanged.Pod", "PodChanged.Phase", "PodLog.Pod", "PodLog.Container", "Synced.Pod", "Synced.Container", "Forwarding.URL", "Forwarding.State", "FilesChanged.Paths", "WatchChanged.Services",
	"Pos.File", "Frame.Name", "Diagnostic.Rule", "RunRecord.ID", "RunRecord.By", "RunRecord.Commit", "RunRecord.Pruned", "RunRecord.RollbackTo", "Place.Namespace", "Place.Name",
	"Adopts.ObjectKind", "Adopts.Namespace", "Adopts.Name",
	"ServiceRecord.Service", "ServiceRecord.Stage", "ServiceRecord.Image", "ServiceRecord.Images", "ServiceRecord.Mirrored", "LeftAlone.Service",
}

// TestRedactEvents: every string of every event is a name, or is redacted.
func TestRedactEvents(t *testing.T) {
	used := map[string]bool{}
	seen := map[reflect.Type]bool{}
	for _, e := range everyEvent() {
		typ := reflect.TypeOf(e.Body)
		if seen[typ] {
			continue
		}
		seen[typ] = true
		full := reflect.New(typ).Elem()
		fill(t, typ.Name(), full)
		after := reflect.ValueOf(runtime.Redact(full.Interface().(runtime.Body), hide))
		stringsOf(typ.Name(), after, func(field, text string) {
			isName := slices.Contains(names, field)
			used[field] = isName
			if left := strings.Contains(text, value); left != isName {
				t.Errorf("%s of %s: is a name: %v; has the value after Redact: %v", field, typ.Name(), isName, left)
			}
		})
		stringsOf(typ.Name(), full, func(field, text string) {
			if !strings.Contains(text, value) {
				t.Errorf("Redact has changed %s of the event that it was given", field)
			}
		})
	}
	for _, name := range names {
		if !used[name] {
			t.Errorf("no event has the name %s", name)
		}
	}
}

// fill sets all strings in v to the value. Strings with a type of their own are
// one of a few constants.
func fill(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	switch v.Type() {
	case reflect.TypeFor[*plan.Plan](): // holds no secret, and is not part of what is shown
		return
	case reflect.TypeFor[error]():
		v.Set(reflect.ValueOf(errors.New(value)))
		return
	case reflect.TypeFor[string]():
		v.SetString("a " + value)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(t, v.Type().Name()+"."+v.Type().Field(i).Name, v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, name, v.Index(0))
	case reflect.Map:
		if v.Type() != reflect.TypeFor[map[string]string]() {
			t.Errorf("%s: this test does not know how to fill a %s", name, v.Type())
			return
		}
		v.Set(reflect.ValueOf(map[string]string{"a " + value: "a " + value}))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, name, v.Elem())
	case reflect.Interface, reflect.Array:
		t.Errorf("%s: this test does not know how to fill a %s", name, v.Type())
	}
}

// stringsOf calls f with each string in v, and the field that it is of.
func stringsOf(name string, v reflect.Value, f func(field, text string)) {
	switch v.Type() {
	case reflect.TypeFor[error]():
		f(name, v.Interface().(error).Error())
		return
	case reflect.TypeFor[string]():
		f(name, v.String())
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				stringsOf(v.Type().Name()+"."+v.Type().Field(i).Name, v.Field(i), f)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			stringsOf(name, v.Index(i), f)
		}
	case reflect.Map:
		for key, e := range v.Seq2() {
			stringsOf(name, key, f)
			stringsOf(name, e, f)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			stringsOf(name, v.Elem(), f)
		}
	}
}

// A leaky deployer says the value wherever it can.
type leaky struct{ runtime.Deployer }

func (d leaky) Act(_ context.Context, _ runtime.Action, r runtime.Release, emit runtime.Emit) error {
	emit(runtime.Log{Source: r.Service.Name, Text: "password " + value})
	emit(runtime.WaitingFor{What: value})
	emit(runtime.Warned{Diagnostic: plan.Diagnostic{Severity: plan.SeverityWarning, Message: "the server says: " + value}})
	return fmt.Errorf("with %s: %w", value, &runtime.ReleaseError{
		Release: r.Service.Name, Err: fmt.Errorf("%w: %s", runtime.ErrTimeout, value), Evidence: []string{"log: " + value},
	})
}

// A leakySecrets waits for a Secret whose value the cluster says.
type leakySecrets struct{ runtime.Deployer }

func (leakySecrets) missing() []runtime.MissingSecret {
	return []runtime.MissingSecret{{
		Name: "made", Keys: []string{"key"}, Services: []string{"api"}, By: &runtime.SecretMaker{Object: "ExternalSecret made", Why: "no " + value + " in the vault"},
	}}
}

func (d leakySecrets) MissingSecrets(context.Context, runtime.EnvironmentKey, *plan.Plan) ([]runtime.MissingSecret, error) {
	return d.missing(), nil
}

func (d leakySecrets) AwaitSecrets(_ context.Context, _ runtime.EnvironmentKey, _ *plan.Plan, _ string, emit runtime.Emit) error {
	emit(runtime.WaitingFor{What: d.missing()[0].Wanted()})
	return &runtime.SecretsError{Namespace: "shop-staging", Missing: d.missing(), Err: fmt.Errorf("%w, with %s", runtime.ErrTimeout, value)}
}

// TestRunRedacts: of a run nothing gets out that has a value in it, whichever
// driver says it and when: no event, no record and no error; and its errors are
// still told apart.
func TestRunRedacts(t *testing.T) {
	newPlan := func() *plan.Plan {
		p := pipeline(1)
		app(p, 1, "api")
		service(p, 1, "db", plan.ImageSource{Mirror: "redis:7"})
		return p
	}
	try := func(t *testing.T, w *runtimetest.World, deployer runtime.Deployer) (hidden int, err error) {
		t.Helper()
		w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
		rt := w.Runtime()
		rt.Deployer = deployer
		rt.Hide = func(p *plan.Plan) func(string) string {
			if p == nil || p.Service("api") == nil {
				t.Errorf("Hide was asked for another plan: %v", p)
			}
			return hide
		}
		var said []string
		record, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: newPlan(), Events: func(e runtime.Event) {
			said = append(said, fmt.Sprintf("%+v", e))
			if data, err := json.Marshal(e); err == nil {
				said = append(said, string(data))
			}
		}})
		said = append(said, fmt.Sprintf("%v|%+v|%#v", err, err, err))
		if record != nil {
			said = append(said, fmt.Sprintf("%+v|%#v", *record, *record))
		}
		w.Hook = nil
		if runs, err := w.Store.Runs(t.Context(), staging); err == nil {
			for _, r := range runs {
				said = append(said, fmt.Sprintf("%+v", r))
			}
		}
		for _, s := range said {
			if strings.Contains(s, value) {
				t.Errorf("a value got out: %s", s)
			}
			hidden += strings.Count(s, "REDACTED")
		}
		return hidden, err
	}

	w := runtimetest.NewWorld()
	hidden, err := try(t, w, leaky{w.Deployer})
	var failed *runtime.RunError
	var release *runtime.ReleaseError
	if hidden < 10 || !errors.As(err, &failed) || !errors.As(err, &release) || !errors.Is(err, runtime.ErrTimeout) {
		t.Errorf("%d values are hidden, and the kinds of errors are lost: %v", hidden, err)
	}
	if failed != nil && !slices.Equal(failed.Failed[0].Evidence, []string{"log: REDACTED"}) || release != nil && !slices.Equal(release.Evidence, []string{"log: REDACTED"}) {
		t.Errorf("evidence: %q, %q", failed.Failed[0].Evidence, release.Evidence)
	}

	// What is to make a Secret says why it has not.
	w = runtimetest.NewWorld()
	hidden, err = try(t, w, leakySecrets{w.Deployer})
	var missing *runtime.SecretsError
	if hidden < 10 || !errors.As(err, &missing) || !errors.Is(err, runtime.ErrTimeout) {
		t.Errorf("%d values are hidden, and the kinds of errors are lost: %v", hidden, err)
	} else if by := missing.Missing[0].By; by.Why != "no REDACTED in the vault" || strings.Contains(missing.Error(), value) {
		t.Errorf("it is to be made by %+v: %v", by, missing)
	}

	// Every step of every driver fails in its turn.
	w = runtimetest.NewWorld()
	if _, err := try(t, w, w.Deployer); err != nil {
		t.Fatal(err)
	}
	steps := len(w.Calls())
	for n := 1; n <= steps; n++ {
		w := runtimetest.NewWorld()
		var at runtimetest.Call
		w.Hook = func(_ context.Context, c runtimetest.Call) error {
			if c.N == n {
				at = c
				return errors.New("the server says " + value)
			}
			return nil
		}
		if _, err := try(t, w, w.Deployer); t.Failed() {
			t.Fatalf("at %v: %v", at, err)
		}
	}
}

// TestPreviewRedacts: the steps of a run that would fail have no value in them.
func TestPreviewRedacts(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	app(p, 1, "api")
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Builder.Identify" {
			return errors.New("the source has " + value)
		}
		return nil
	}
	rt := w.Runtime()
	rt.Hide = func(*plan.Plan) func(string) string { return hide }
	steps, err := rt.Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p})
	var failed *runtime.RunError
	if !errors.As(err, &failed) || len(steps) != 1 {
		t.Fatalf("Preview = %v, %v", steps, err)
	}
	if text := fmt.Sprintf("%+v|%v|%+v", steps, err, failed.Failed); strings.Contains(text, value) || !strings.Contains(text, "REDACTED") {
		t.Errorf("Preview: %s", text)
	}
}
