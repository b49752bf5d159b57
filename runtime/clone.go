package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// A CloneRequest asks for a copy of an environment.
type CloneRequest struct {
	Source EnvironmentKey
	Name   string // of the new environment, in the same pipeline
	// Namespace is that of the new environment; empty: as the plan says.
	Namespace string
	Branch    string        // if set, the new environment is a preview, whose git sources use this branch if they have it
	TTL       time.Duration // after which it is deleted; 0: never
	Plan      *plan.Plan    // evaluated for the new environment; nil: the last one of the source
}

// Clone creates an environment with the services, the parameters and the
// overrides of the source (E2, E3). Each service that the source skips, in the
// file or by an override, is skipped in the clone, and stays skipped if the source
// unskips it later. Nothing is deployed, and neither data nor credentials are copied.
//
// The error is ErrNotFound if the source does not exist, ErrConflict if an
// environment with the new name exists, and an *OwnedError if its namespace belongs
// to another environment (E6).
func (e Environments) Clone(ctx context.Context, req CloneRequest) (*Environment, error) {
	src, err := e.Store.Environment(ctx, req.Source)
	if err != nil {
		return nil, err
	}
	is, err := src.Effective()
	if err != nil {
		return nil, err
	}
	if is == nil {
		return nil, fmt.Errorf("environment %s of pipeline %s has no plan yet: it was never deployed", src.Key.Name, src.Key.Pipeline)
	}
	key := EnvironmentKey{Pipeline: req.Source.Pipeline, Name: req.Name}
	key = key.At(is.Pipeline.NamespaceOf(req.Name))
	if req.Plan != nil {
		key = key.At(cmp.Or(req.Plan.Environment.Namespace, req.Plan.Pipeline.NamespaceOf(req.Name)))
	}
	if req.Namespace != "" {
		key = key.At(req.Namespace)
	}
	if err := checkName(key); err != nil {
		return nil, err
	}
	env := &Environment{
		Key: key, Kind: plan.KindClone, Source: src.Key.Name, Branch: src.Branch, Plan: req.Plan,
		Overrides: maps.Clone(src.Overrides),
	}
	if env.Overrides == nil {
		env.Overrides = make(map[string]Override)
	}
	for _, s := range is.Services {
		if o := env.Overrides[s.Name]; s.Skip {
			o.Skip = new(true)
			env.Overrides[s.Name] = o
		}
	}
	if req.Branch != "" {
		env.Kind, env.Branch = plan.KindPreview, req.Branch
	}
	if req.TTL > 0 {
		env.Expires = time.Now().Add(req.TTL).UTC().Truncate(time.Second)
	}
	if env.Plan == nil {
		p := *src.Plan
		p.Environment = env.Ref()
		p.SetNamespace(key.Namespace())
		env.Plan = &p
	}
	if err := e.Store.Claim(ctx, key); err != nil {
		return nil, err
	}
	if err := e.Store.Save(ctx, env); err != nil {
		if errors.Is(err, ErrConflict) {
			err = fmt.Errorf("environment %s of pipeline %s already exists: %w", key.Name, key.Pipeline, err)
		}
		return nil, err
	}
	return env, nil
}

// checkName returns an error if the name of an environment, or of its namespace, is
// invalid.
func checkName(key EnvironmentKey) error {
	if err := plan.CheckEnvironment("", key.Name); err != nil {
		return err
	}
	if err := plan.CheckName(key.Namespace(), plan.MaxName); err != nil {
		return fmt.Errorf("the namespace %w", err)
	}
	if plan.Reserved(key.Namespace()) {
		return fmt.Errorf("%v cannot have the namespace %s: Kubernetes reserves those that begin with kube- for itself; choose another name for the pipeline, or another namespace", key, key.Namespace())
	}
	return nil
}

// PreviewName returns the default name of the preview of a branch: a valid Kubernetes
// name, different for each branch.
func PreviewName(branch string) string {
	const maxPreview = 30
	if name := plan.NameFrom(branch, maxPreview); name == branch {
		return name
	}
	digest := strings.TrimPrefix(string(plan.DigestOf([]byte(branch))), "sha256:")[:4]
	return strings.TrimLeft(plan.NameFrom(branch, maxPreview-5)+"-"+digest, "-")
}
