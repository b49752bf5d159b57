package runtimetest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

var _ runtime.Deployer = (*Deployer)(nil)

// A Deployer keeps releases in memory; it runs nothing.
type Deployer struct {
	world *World

	mu         sync.Mutex
	namespaces map[string]map[string]*Release
	prepared   map[string][]string
	owners     map[string]runtime.EnvironmentKey // of namespaces
	madeFor    map[string]runtime.EnvironmentKey // the environment for which Prepare created a further namespace
	secrets    map[string]map[string][]string    // the keys of the Secrets of namespaces
	changed    chan struct{}                     // closed when secrets changes; nil: no caller is waiting
}

// A Release is the state of a release in the world.
type Release struct {
	runtime.Deployed
	Image    string
	Images   map[string]string
	Mirrored map[string]string
	Restarts int
	// Runs counts the deploys of a job, which runs with each deploy.
	Runs int
}

// The names of special charts: one that is not found, so Fingerprint fails; one whose
// containers crash, so Deploy fails; and one that creates a Secret with the name of its
// service and the key "value".
const (
	MissingChart  = "missing"
	CrashingChart = "crashing"
	SecretChart   = "secret"
)

// The keys of special values: a service with RefusedValue is rejected if it is already
// deployed; so is one with RuledValue, because of a rule that may change; a service with
// RuleValue contains that rule.
const (
	RefusedValue = "refused"
	RuledValue   = "ruled"
	RuleValue    = "rule"
)

// ImagesValue is the key of a list: the images that the pods of a service name.
const ImagesValue = "images"

// LateImagesValue is the key of a list: further images that the pods of a service name, but
// before the service is deployed only the deploy knows it.
const LateImagesValue = "lateImages"

// ObjectOf returns the one object that each service has.
func ObjectOf(namespace, service string) runtime.ObjectRef {
	return runtime.ObjectRef{Group: "apps", Kind: "StatefulSet", Namespace: namespace, Name: service}
}

// Namespaces returns the namespaces that exist, sorted.
func (d *Deployer) Namespaces() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.namespaces))
}

// Releases returns the releases in a namespace.
func (d *Deployer) Releases(namespace string) map[string]Release {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string]Release)
	for name, r := range d.namespaces[namespace] {
		out[name] = *r
	}
	return out
}

// Prepare implements [runtime.Deployer].
func (d *Deployer) Prepare(ctx context.Context, key runtime.EnvironmentKey, p *plan.Plan) error {
	namespace := key.Namespace()
	if err := d.world.step(ctx, "Deployer.Prepare", namespace); err != nil {
		return err
	}
	for i := range p.Services {
		further := key.At(key.NamespaceOf(&p.Services[i]))
		var owned *runtime.OwnedError
		if _, err := d.owns(further, false); errors.As(err, &owned) && further != key {
			owned.Service = p.Services[i].Name
			return owned
		}
	}
	if _, err := d.owns(key, true); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.namespaces[namespace] == nil {
		d.namespaces[namespace] = make(map[string]*Release)
	}
	for i := range p.Services {
		if further := key.NamespaceOf(&p.Services[i]); d.namespaces[further] == nil {
			d.namespaces[further] = make(map[string]*Release)
			if d.madeFor == nil {
				d.madeFor = make(map[string]runtime.EnvironmentKey)
			}
			d.madeFor[further] = key.Owner()
		}
	}
	if d.prepared == nil {
		d.prepared = make(map[string][]string)
	}
	d.prepared[namespace] = nil
	for _, s := range p.Services {
		d.prepared[namespace] = append(d.prepared[namespace], s.Name)
	}
	return nil
}

// owns reports whether an environment owns its namespace. If the namespace has no owner and
// claim is set, the environment becomes the owner.
func (d *Deployer) owns(key runtime.EnvironmentKey, claim bool) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch owner := d.owners[key.Namespace()]; owner {
	case key.Owner():
		return true, nil
	case runtime.EnvironmentKey{}:
		if claim {
			d.owners[key.Namespace()] = key.Owner()
		}
		return claim, nil
	default:
		return false, &runtime.OwnedError{Key: key, Kind: "namespace", Owner: owner}
	}
}

// Install adds a release to a namespace, as another tool would.
func (d *Deployer) Install(namespace, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.namespaces[namespace] == nil {
		d.namespaces[namespace] = make(map[string]*Release)
	}
	d.namespaces[namespace][name] = &Release{Deployed: runtime.Deployed{Status: "deployed", Revision: 1}}
}

// Prepared returns the services of the last Prepare of the namespace.
func (d *Deployer) Prepared(namespace string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.prepared[namespace]
}

// Deployed implements [runtime.Deployer].
func (d *Deployer) Deployed(ctx context.Context, namespace string) (map[string]runtime.Deployed, error) {
	if err := d.world.step(ctx, "Deployer.Deployed", namespace); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string]runtime.Deployed)
	for name, r := range d.namespaces[namespace] {
		out[name] = r.Deployed
	}
	return out, nil
}

// Images implements [runtime.Deployer]: they are those of [ImagesValue] and, of a service that
// is deployed, [LateImagesValue].
func (d *Deployer) Images(ctx context.Context, r runtime.Release) ([]runtime.PodImage, error) {
	if err := d.world.step(ctx, "Deployer.Images", r.Service.Name); err != nil {
		return nil, err
	}
	if r.Service.Chart != nil && r.Service.Chart.Ref == MissingChart {
		return nil, errMissingChart
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return imagesOf(r, d.namespaces[r.Namespace][r.Service.Name] != nil), nil
}

var errMissingChart = errors.New("chart missing: no such directory")

// imagesOf returns the images of [ImagesValue] and, if late is set, [LateImagesValue], and those
// of the release in its values.
func imagesOf(r runtime.Release, late bool) (out []runtime.PodImage) {
	list, _ := r.Service.Values[ImagesValue].([]any)
	if more, _ := r.Service.Values[LateImagesValue].([]any); late {
		list = slices.Concat(list, more)
	}
	for i, ref := range list {
		out = append(out, runtime.PodImage{Ref: ref.(string), In: fmt.Sprintf("%s, container %d", ObjectOf(r.Namespace, r.Service.Name), i)})
	}
	for _, f := range r.Service.Filled {
		if f.Image != "" {
			out = append(out, runtime.PodImage{Ref: f.Part.Of(r.Images[f.Image]), In: "values " + f.String()})
		}
	}
	return out
}

// Fingerprint implements [runtime.Deployer].
func (d *Deployer) Fingerprint(ctx context.Context, r runtime.Release) (plan.Digest, error) {
	if err := d.world.step(ctx, "Deployer.Fingerprint", r.Service.Name); err != nil {
		return "", err
	}
	if r.Service.Chart != nil && r.Service.Chart.Ref == MissingChart {
		return "", errMissingChart
	}
	data, err := json.Marshal([]any{r.Image, r.Images, r.Mirrored, r.Service.Chart, r.Service.Values, r.Service.Workload, r.Namespace})
	if err != nil {
		return "", err
	}
	return plan.DigestOf(data), nil
}

// Check implements [runtime.Deployer]: a change to a deployed service is rejected if the
// service has [RefusedValue] or [RuledValue]. In the latter case, the reason is a rule that
// services with [RuleValue] contain.
func (d *Deployer) Check(ctx context.Context, r runtime.Release, emit runtime.Emit) (runtime.Checked, error) {
	has := runtime.Checked{Objects: []runtime.ObjectRef{ObjectOf(r.Namespace, r.Service.Name)}}
	if _, brings := r.Service.Values[RuleValue]; brings {
		has.Rules = []string{RuleValue}
	}
	if err := d.world.step(ctx, "Deployer.Check", r.Service.Name); err != nil {
		return has, err
	}
	if r.Image == "" && r.Service.Image != (plan.ImageSource{}) {
		return has, &runtime.ChartError{Err: fmt.Errorf("chart of %s: an image is needed", r.Service.Name)}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, refused := r.Service.Values[RefusedValue]
	_, ruled := r.Service.Values[RuledValue]
	if d.namespaces[r.Namespace][r.Service.Name] == nil || !refused && !ruled {
		return has, nil
	}
	var rules []string
	if ruled {
		rules = []string{RuleValue}
	}
	return has, &runtime.RefusedError{Release: r.Service.Name, Changes: []runtime.RefusedChange{{
		Object: ObjectOf(r.Namespace, r.Service.Name), Fields: []string{"spec.serviceName"}, Why: "it is immutable", Rules: rules,
	}}}
}

// named returns a release with copies of all images that its pods name.
func (d *Deployer) named(ctx context.Context, r runtime.Release) (runtime.Release, error) {
	if r.Mirror == nil || !r.Service.MirrorImages {
		return r, nil
	}
	images := imagesOf(r, true)
	named := make(map[string]string)
	for _, im := range images {
		if !r.Has(im.Ref) {
			named[im.Ref] = r.Mirrored[im.Ref]
		}
	}
	if maps.Equal(named, r.Mirrored) {
		return r, nil
	}
	var err error
	if r.Mirrored, err = r.Mirror(ctx, images); err != nil {
		return r, err
	}
	r.Fingerprint, err = d.Fingerprint(ctx, r)
	return r, err
}

// deploy implements the action Deploy.
func (d *Deployer) deploy(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	name := r.Service.Name
	if err := d.world.step(ctx, "Deployer.Deploy", name); err != nil {
		return err
	}
	r, err := d.named(ctx, r)
	if err != nil {
		return err
	}
	pulled := append(slices.Collect(maps.Values(r.Images)), r.Image)
	for _, im := range imagesOf(r, true) {
		pulled = append(pulled, cmp.Or(r.Mirrored[im.Ref], im.Ref))
	}
	for _, image := range pulled {
		if image != "" && !d.world.Registry.has(image) {
			return d.failed(r, errors.New("ErrImagePull: "+image))
		}
	}
	was, release, err := d.begin(r)
	if err != nil {
		return err
	}
	emit(runtime.WaitingFor{What: "deployment " + name + ": 0 of 1 replicas are available"})
	err = d.world.work(ctx, "Deployer.Deploy", name)
	if err == nil && r.Service.Chart != nil && r.Service.Chart.Ref == CrashingChart {
		err = errors.New("CrashLoopBackOff")
	}
	// A deploy that has begun runs to its end, even if the context is done (A4).
	stepErr := d.world.step(context.WithoutCancel(ctx), "Deployer.Deploy end", name)
	if errors.Is(stepErr, ErrDead) {
		return stepErr
	}
	if err == nil {
		err = stepErr
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		release.Status, release.Ready = "deployed", true
		if r.Service.Chart != nil && r.Service.Chart.Ref == SecretChart {
			d.setSecret(r.Namespace, name, "value")
		}
		emit(runtime.PodChanged{Pod: name + "-0", Phase: "Running", Ready: true})
		return nil
	}
	release.Status = "failed"
	if ctx.Err() != nil {
		return err
	}
	failure := d.failed(r, err)
	if was != nil && r.OnFailure == runtime.Rollback {
		failure.RolledBack = was.Revision
		back := *was
		back.Revision = release.Revision + 1
		d.namespaces[r.Namespace][name] = &back
	}
	return failure
}

// begin creates the revision to be deployed.
func (d *Deployer) begin(r runtime.Release) (was, release *Release, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in := d.namespaces[r.Namespace]
	if in == nil {
		return nil, nil, fmt.Errorf("namespace %s was not prepared", r.Namespace)
	}
	if err := owned(in, r); err != nil {
		return nil, nil, err
	}
	release = &Release{Image: r.Image, Images: r.Images, Mirrored: r.Mirrored, Runs: 1}
	release.Owner = keyOf(r).Owner()
	release.Fingerprint, release.Status, release.Revision = r.Fingerprint, "pending-install", 1
	if was = in[r.Service.Name]; was != nil {
		release.Status, release.Revision, release.Runs = "pending-upgrade", was.Revision+1, was.Runs+1
	}
	in[r.Service.Name] = release
	return was, release, nil
}

func keyOf(r runtime.Release) runtime.EnvironmentKey {
	return runtime.EnvironmentKey{Pipeline: r.Pipeline, Name: r.Environment}.At(r.Namespace)
}

// owned returns an *OwnedError if the release belongs to another environment.
func owned(in map[string]*Release, r runtime.Release) error {
	is := in[r.Service.Name]
	if is == nil || is.Owner == keyOf(r).Owner() || is.Owner == (runtime.EnvironmentKey{}) {
		return nil
	}
	return &runtime.OwnedError{Key: keyOf(r), Kind: "release", Name: r.Service.Name, Owner: is.Owner}
}

func (d *Deployer) failed(r runtime.Release, err error) *runtime.ReleaseError {
	return &runtime.ReleaseError{
		Release:  r.Service.Name,
		Err:      err,
		Evidence: []string{"pod " + r.Service.Name + "-0: " + err.Error()},
	}
}

// Remove implements [runtime.Deployer].
func (d *Deployer) Remove(ctx context.Context, key runtime.EnvironmentKey, further []string, keepVolumes bool, emit runtime.Emit) error {
	if err := d.world.step(ctx, "Deployer.Remove", key.Namespace()); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, namespace := range further {
		in, exists := d.namespaces[namespace]
		switch {
		case len(in) == 0 && d.madeFor[namespace] == key.Owner():
			delete(d.namespaces, namespace)
			delete(d.madeFor, namespace)
		case exists:
			emit(runtime.Warned{Diagnostic: plan.Diagnostic{Severity: plan.SeverityWarning, Message: "namespace " + namespace + " is kept"}})
		}
	}
	owner := d.owners[key.Namespace()]
	if owner == key.Owner() && !keepVolumes {
		delete(d.owners, key.Namespace())
	}
	if owner != key.Owner() && owner != (runtime.EnvironmentKey{}) || keepVolumes || len(d.namespaces[key.Namespace()]) > 0 {
		emit(runtime.Warned{Diagnostic: plan.Diagnostic{Severity: plan.SeverityWarning, Message: "namespace " + key.Namespace() + " is kept"}})
		return nil
	}
	delete(d.namespaces, key.Namespace())
	return nil
}

// Act implements [runtime.Deployer]. Each action has its own name in the calls of the world,
// such as "Deployer.Deploy". During a restart, the release is not ready.
func (d *Deployer) Act(ctx context.Context, a runtime.Action, r runtime.Release, emit runtime.Emit) error {
	switch a {
	case runtime.Deploy:
		return d.deploy(ctx, r, emit)
	case runtime.Stop:
		return d.act(ctx, "Deployer.Stop", r, func(in map[string]*Release, name string) {
			in[name].Stopped, in[name].Ready = true, false
		})
	case runtime.Start:
		return d.act(ctx, "Deployer.Start", r, func(in map[string]*Release, name string) {
			in[name].Stopped, in[name].Ready = false, true
		})
	case runtime.Restart:
		ready := d.begun(r)
		return d.act(ctx, "Deployer.Restart", r, func(in map[string]*Release, name string) {
			in[name].Restarts++
			in[name].Ready = ready
		})
	case runtime.Delete:
		return d.act(ctx, "Deployer.Delete", r, func(in map[string]*Release, name string) {
			delete(in, name)
		})
	}
	return fmt.Errorf("unknown action %q", a)
}

// begun marks a release that is being restarted as not ready, and reports whether it was
// ready.
func (d *Deployer) begun(r runtime.Release) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.namespaces[r.Namespace][r.Service.Name]
	ready := was != nil && was.Ready
	if ready && owned(d.namespaces[r.Namespace], r) == nil {
		was.Ready = false
	}
	return ready
}

func (d *Deployer) act(ctx context.Context, op string, r runtime.Release, change func(map[string]*Release, string)) error {
	name := r.Service.Name
	if err := d.world.step(ctx, op, name); err != nil {
		return err
	}
	if err := d.world.work(ctx, op, name); err != nil {
		return err
	}
	if err := d.world.step(ctx, op+" end", name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	in := d.namespaces[r.Namespace]
	if err := owned(in, r); err != nil {
		return err
	}
	if in[name] == nil {
		if op == "Deployer.Delete" {
			return nil
		}
		return fmt.Errorf("release %s: %w", name, runtime.ErrNotFound)
	}
	change(in, name)
	return nil
}

// Pending returns the releases that a dead process left in a pending state.
func (d *Deployer) Pending() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for _, in := range d.namespaces {
		for name := range maps.Keys(in) {
			if s := in[name].Status; s == "pending-install" || s == "pending-upgrade" {
				names = append(names, name)
			}
		}
	}
	return names
}
