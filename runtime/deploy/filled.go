package deploy

import (
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/chart"
)

// Secrets in the values of a chart are needed when it is rendered, so that this process
// reads them, and they are stored in the Secrets of Helm's revisions. They are in nothing
// else (SPEC D4): the fingerprint has the keyed digest of all secrets instead, and what is
// shown is searched for them.

// fill sets the values of the chart that the plan does not have. A secret that does not
// exist yet is left out, and an image that is not built yet has no reference.
func (d *Deployer) fill(use *chart.Use, r runtime.Release, found secretUse) {
	for _, f := range r.Service.Filled {
		if f.Secret == nil {
			use.Filled = append(use.Filled, chart.Fill{Path: f.Path, Value: f.Part.Of(r.Images[f.Image])})
			continue
		}
		value, exists := found.values[*f.Secret]
		if !exists {
			if name, _ := found.key(*f.Secret); !slices.Contains(use.Absent, name) {
				use.Absent = append(use.Absent, name)
			}
			continue
		}
		d.reads(*f.Secret, string(value))
		use.Hidden = append(use.Hidden, chart.Fill{Path: f.Path, Value: string(value)})
	}
}

// reads passes on a secret that may be in what is shown.
func (d *Deployer) reads(ref plan.SecretRef, value string) {
	if d.opts.Reads != nil {
		d.opts.Reads(ref, value)
	}
}

// readsBefore passes on the secrets that the values of an earlier revision have at the
// places of those of the release: the objects of the two may be shown beside each other.
func (o *operation) readsBefore(config map[string]any) {
	for _, f := range o.r.Service.Filled {
		if f.Secret == nil {
			continue
		}
		for _, value := range chart.At(config, []chart.Fill{{Path: f.Path}}) {
			o.d.reads(*f.Secret, value)
		}
	}
}

// secretsIn returns the number of secrets in the values of the chart of a service.
func secretsIn(s plan.Service) (n int) {
	for _, f := range s.Filled {
		if f.Secret != nil {
			n++
		}
	}
	return n
}

// hidden returns the places of the secrets in the values of a chart.
func hidden(use chart.Use) (places []string) {
	for _, f := range use.Hidden {
		places = append(places, strings.Join(f.Path, "."))
	}
	return places
}
