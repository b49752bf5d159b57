package deploy

import (
	"context"
	"sync"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	helmengine "helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/release"
	"k8s.io/client-go/rest"

	charts "github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
	"github.com/pipelinefile/pipe/runtime/render"
)

// renderFiles renders the templates of the chart, within the timeout of the service, with
// the images of the release instead of those that the chart names. Whoever deploys the result
// has other images copied, too.
func (o *operation) renderFiles(ctx context.Context, caps *chartutil.Capabilities, deploys bool) (map[string]string, error) {
	limited, stop := context.WithDeadlineCause(ctx, o.limit.end, o.limit.err())
	defer stop()
	files, err := o.d.render(limited, o.chart, nextRevision(o.r, o.records.history), o.use, caps)
	if err == nil && deploys {
		err = o.nameAgain(limited, files)
	}
	if err != nil {
		return nil, err
	}
	return mirrored(files, o.r)
}

// render renders the templates of a chart.
func (d *Deployer) render(ctx context.Context, c *charts.Chart, options chartutil.ReleaseOptions, use charts.Use, caps *chartutil.Capabilities) (map[string]string, error) {
	return c.Render(ctx, d.renderer, options, use, charts.Cluster{Capabilities: caps, Lookup: helmengine.NewLookupFunction(d.cluster.Config)})
}

// A renderer makes Helm use the output of a worker. Helm always renders the chart itself,
// in this process, and this cannot be interrupted. Just before, when it has installed the
// CRDs of the chart and has read the capabilities of the cluster, it asks for the
// configuration of the cluster, for the function lookup. At this moment a worker renders
// the chart, and its output replaces the templates.
type renderer struct {
	getter
	render func() error
}

var _ action.RESTClientGetter = renderer{}

// ToRESTConfig implements [action.RESTClientGetter].
func (r renderer) ToRESTConfig() (*rest.Config, error) {
	if err := r.render(); err != nil {
		return nil, err
	}
	return r.getter.ToRESTConfig()
}

// renderApart makes a worker render the chart that Helm will install or upgrade with
// config. The templates are restored before Helm records the release.
func (o *operation) renderApart(ctx context.Context, config *action.Configuration, copied *chart.Chart) {
	config.RESTClientGetter = renderer{getter{o.d.cluster}, sync.OnceValue(func() error {
		files, err := o.renderFiles(ctx, config.Capabilities, true)
		if err != nil {
			return err
		}
		encoded, err := observe.Encode(o.fingerprint)
		if err != nil {
			return err
		}
		restore := render.Fix(copied, files)
		o.records.creating = func(rel *release.Release) {
			restore()
			rel.Labels[observe.LabelFingerprint] = encoded // Helm has had the labels before the images were known
		}
		return nil
	})}
}
