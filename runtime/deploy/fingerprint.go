package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/chart"
)

// format is part of every fingerprint. If it changes, everything is deployed again, so
// change it only when this package makes something else of the same chart and values.
const format = 1

// Fingerprint implements [runtime.Deployer]. The fingerprint covers the chart, all its
// values, and the values of the secrets that the release uses. Only if there are such
// secrets, the Secrets of the namespace are read, once; see secrets. An invalid chart or
// invalid values are an error here, before anything is changed.
func (d *Deployer) Fingerprint(ctx context.Context, r runtime.Release) (digest plan.Digest, err error) {
	err = d.retry(ctx, silent, "", func() (err error) {
		digest, err = d.fingerprint(ctx, r)
		return err
	})
	return digest, err
}

func (d *Deployer) fingerprint(ctx context.Context, r runtime.Release) (plan.Digest, error) {
	c, use, err := d.chartOf(ctx, r)
	if err != nil {
		return "", err
	}
	digest, err := fingerprintOf(r, c, use)
	if err != nil {
		return "", err
	}
	// Generated charts are known to work, but not with the own values of a service.
	if !r.Service.Generated() || len(r.Service.Values) > 0 {
		release := r.Namespace + "/" + r.Service.Name
		if d.checked.has(release, digest) {
			return digest, nil
		}
		if own, err := fingerprintOf(unmirrored(r), c, use); err != nil || d.named.has(release, own) {
			return digest, err
		}
		if len(use.Hidden) < secretsIn(r.Service) {
			return digest, nil // a secret does not exist yet
		}
		limit := within(timeoutOf(r.Service))
		limited, stop := context.WithDeadlineCause(ctx, limit.end, limit.err())
		defer stop()
		if err := c.Check(limited, d.renderer, r.Namespace, use); err != nil {
			return "", ofChart(limited, fmt.Errorf("chart of %s: %w", r.Service.Name, err))
		}
		d.checked.put(release, digest)
	}
	return digest, nil
}

// A checked has the fingerprint with which the chart of each service was last rendered,
// by this process or when it was deployed: an unchanged chart need not be rendered again.
type checked struct {
	mu   sync.Mutex
	last map[string]plan.Digest // by namespace and service
}

func (c *checked) has(release string, digest plan.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[release] == digest
}

func (c *checked) put(release string, digest plan.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = make(map[string]plan.Digest)
	}
	c.last[release] = digest
}

// chartOf returns the chart of a release and how it is used.
func (d *Deployer) chartOf(ctx context.Context, r runtime.Release) (*chart.Chart, chart.Use, error) {
	found, err := d.secrets.of(ctx, d, homeOf(r), r.Service)
	if err != nil {
		return nil, chart.Use{}, err
	}
	c, err := d.shelf.Chart(ctx, r.Service, found.key)
	if err != nil {
		return nil, chart.Use{}, ofChart(ctx, err)
	}
	use := chart.Use{
		Pipeline: r.Pipeline, Environment: r.Environment, Service: r.Service.Name,
		Image: r.Image, Images: r.Images, Secrets: found.sum, Values: r.Service.Values,
	}
	d.fill(&use, r, found)
	return c, use, nil
}

// homeOf returns the namespace of the environment of a release.
func homeOf(r runtime.Release) string { return cmp.Or(r.Home, r.Namespace) }

// fingerprintOf returns the fingerprint of a release. The images that its chart names are
// outside of the chart and its use: they are replaced after it is rendered.
func fingerprintOf(r runtime.Release, c *chart.Chart, use chart.Use) (plan.Digest, error) {
	further := ""
	if r.Namespace != homeOf(r) {
		further = r.Namespace
	}
	data, err := json.Marshal(struct {
		Format int
		Chart  plan.Digest
		Values map[string]any
		// Outside Values, as not every chart has values for these.
		Image, Secrets string
		Exact          plan.Values       `json:",omitempty"`
		Images         map[string]string `json:",omitempty"`
		Hidden         []string          `json:",omitempty"` // which values are secrets; Secrets has the digest of these
		// Namespace is that of the release, if it is not that of the environment.
		Namespace string            `json:",omitempty"`
		Mirrored  map[string]string `json:",omitempty"`
	}{format, c.Digest, c.Values(use), use.Image, use.Secrets, exact(use.Values), use.Images, hidden(use), further, r.Mirrored})
	if err != nil {
		return "", fmt.Errorf("fingerprint of %s: %w", use.Service, err)
	}
	return plan.DigestOf(data), nil
}

// exact returns the values of the Pipelinefile if they contain a whole number; otherwise
// Values is sufficient. Values does not distinguish integers from floats, which templates
// render differently (SPEC D9). Releases of former versions, in which a stored plan had
// floats instead of integers, do not have Exact: they are deployed again.
func exact(values map[string]any) plan.Values {
	if hasWhole(values) {
		return values
	}
	return nil
}

func hasWhole(v any) bool {
	switch v := v.(type) {
	case nil, bool, string:
		return false
	case float64:
		return v == math.Trunc(v)
	case []any:
		return slices.ContainsFunc(v, hasWhole)
	case map[string]any:
		for _, e := range v {
			if hasWhole(e) {
				return true
			}
		}
		return false
	}
	return true // an integer of some type
}
