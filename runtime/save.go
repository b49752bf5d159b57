package runtime

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// savePlan stores the plan as the environment's last one.
func (r *run) savePlan(ctx context.Context) error {
	if same, err := samePlan(r.env.Plan, r.req.Plan); err != nil || same && r.env.Revision != "" {
		return err
	}
	return r.save(ctx, func(env *Environment) {
		env.Namespaces, env.Plan = env.FurtherNamespaces(), r.req.Plan
	})
}

// saveImages records the deployed images. From then on they need not be
// built or looked up, on any machine.
func (r *run) saveImages(ctx context.Context, record RunRecord) error {
	if r.req.Action != Deploy {
		return nil
	}
	images := func(env *Environment) map[string]string {
		images := maps.Clone(env.Images)
		if images == nil {
			images = make(map[string]string)
		}
		for _, s := range record.Services {
			if s.State == Done || s.State == Unchanged || s.State == Skipped {
				for name, ref := range s.allImages() {
					images[plan.ImageKey(s.Service, name)] = ref
				}
			}
		}
		known := make(map[string]bool)
		for _, s := range cmp.Or(env.Plan, r.req.Plan).Services {
			known[s.Name] = true
			for _, im := range s.Images {
				known[plan.ImageKey(s.Name, im.Name)] = true
			}
		}
		maps.DeleteFunc(images, func(key, _ string) bool { return !known[key] })
		return images
	}
	if maps.Equal(images(r.env), r.env.Images) {
		return nil
	}
	return r.save(ctx, func(env *Environment) { env.Images = images(env) })
}

// save changes the environment. Overrides may be written concurrently, without
// the lease: those writes are kept.
func (r *run) save(ctx context.Context, change func(*Environment)) error {
	for {
		change(r.env)
		err := r.Store.Save(ctx, r.env)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		env, err := r.Store.Environment(ctx, r.req.Environment)
		switch {
		case err == nil:
			r.env = env
		case errors.Is(err, ErrNotFound):
			r.env.Revision = ""
		default:
			return err
		}
	}
}

// newEnvironment returns the environment that the first deploy of p creates.
func newEnvironment(key EnvironmentKey, p *plan.Plan) *Environment {
	ref := p.Environment
	env := &Environment{Key: key, Kind: ref.Kind, Source: ref.Source, Branch: ref.Branch}
	if env.Kind == "" {
		env.Kind = plan.KindEnvironment
	}
	return env
}

func samePlan(a, b *plan.Plan) (bool, error) {
	if a == nil || b == nil {
		return a == b, nil
	}
	da, err := a.Digest()
	if err != nil {
		return false, err
	}
	db, err := b.Digest()
	return da == db, err
}

// newRecord returns the record of a run that starts now.
func (r *run) newRecord() RunRecord {
	now := time.Now()
	digest, _ := r.req.Plan.Digest() // a plan that has been read or evaluated marshals
	record := RunRecord{
		ID:         newID(now),
		Action:     r.req.Action,
		By:         r.req.By,
		Commit:     r.req.Commit,
		PlanDigest: digest,
		Start:      now,
		RollbackTo: r.req.RollbackTo,
	}
	if r.req.Action == Deploy {
		record.Plan = r.req.Plan
	}
	return record
}

// newID returns a unique ID that sorts by time.
func newID(now time.Time) string {
	var random [4]byte
	rand.Read(random[:])
	return now.UTC().Format("20060102-150405-") + hex.EncodeToString(random[:])
}
