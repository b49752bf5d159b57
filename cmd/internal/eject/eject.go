// Package eject writes the deployments of pipe as plain Helm charts and values,
// so that a team can read them, or deploy without pipe.
package eject

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/render"
)

// Options configure Write.
type Options struct {
	Services  []string         // by name; none: those that are not skipped
	Workspace string           // the directory that the plan's paths are relative to
	Cache     string           // directory of downloaded charts
	Checkouts string           // directory of checkouts of git repositories
	Dir       string           // the directory to write, absolute
	Renderer  *render.Renderer // evaluates kustomizations; nil: in this process
	Force     bool             // replace Dir if it was written by Write
}

// A Result describes what was written. Its JSON form is documented.
type Result struct {
	Version     int       `json:"version"` // 1
	Pipeline    string    `json:"pipeline"`
	Environment string    `json:"environment"`
	Dir         string    `json:"dir"`
	Services    []Service `json:"services"` // in deployment order
	Files       []string  `json:"files"`    // relative to Dir, slash-separated, sorted
	namespace   string
	disks       bool // there is a file with the claims of disks
}

// A Service is one service that was written.
type Service struct {
	Name string `json:"name"`
	// Namespace is that of its release, if it is not that of the environment.
	Namespace string   `json:"namespace,omitempty"`
	Stage     string   `json:"stage"`
	Chart     string   `json:"chart"`             // a directory relative to Dir, a URL, or a name in Repo
	Repo      string   `json:"repo,omitempty"`    // a chart repository, without the credentials of its URL
	Version   string   `json:"version,omitempty"` // of a remote chart
	Values    string   `json:"values"`            // a file in Dir
	Image     string   `json:"image,omitempty"`   // empty: built by pipe, or the chart's own
	Built     bool     `json:"built"`             // its image is built and must be supplied
	Images    []Image  `json:"images,omitempty"`  // of its other containers
	Secrets   []Secret `json:"secrets"`           // that pods read; never their values

	plan     plan.Service
	sets     []string          // --set arguments, see the function sets
	missing  []plan.Filled     // values that are missing in the values file
	programs []*plan.BuildSpec // of images that programs make
}

// An Image is the image of an additional container of a service, such as a sidecar.
type Image struct {
	Name  string `json:"name"`
	Image string `json:"image,omitempty"` // empty: built by pipe
	Built bool   `json:"built"`           // it is built and must be supplied
}

// A Secret is a key of a Kubernetes Secret.
type Secret struct {
	Name     string `json:"name"`
	Key      string `json:"key"`
	Database string `json:"database,omitempty"` // the service whose credentials it belongs to
}

// Write writes a directory with a chart for each service that does not bring
// one, a values file for each service, and a README that explains how to deploy
// them without pipe. The write is atomic: after an error the directory is as it
// was before. The services must be in the plan.
func Write(ctx context.Context, p *plan.Plan, opts Options) (*Result, error) {
	if err := free(opts.Dir, opts.Force); err != nil {
		return nil, err
	}
	result := &Result{
		Version: 1, Pipeline: p.Pipeline.Name, Environment: p.Environment.Name, namespace: p.Namespace(),
		Dir: opts.Dir, Services: []Service{},
	}
	err := replace(opts.Dir, func(dir string) error {
		shelf := chart.NewShelf(opts.Workspace, opts.Cache)
		if opts.Checkouts != "" {
			shelf.ShareCheckouts(opts.Checkouts)
		}
		shelf.Renderer = opts.Renderer
		for _, s := range p.Services {
			if s.Skip && len(opts.Services) == 0 || len(opts.Services) > 0 && !slices.Contains(opts.Services, s.Name) {
				continue
			}
			service, err := write(ctx, dir, shelf, p, s, opts)
			if err != nil {
				return fmt.Errorf("service %s: %w", s.Name, err)
			}
			result.Services = append(result.Services, service)
		}
		var err error
		if result.disks, err = writeDisks(dir, result.Services); err != nil {
			return err
		}
		err = os.WriteFile(filepath.Join(dir, readmeName), []byte(readme(result)), 0o666)
		if err != nil {
			return err
		}
		result.Files, err = filesOf(dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// write writes the chart and the values of one service into dir.
func write(ctx context.Context, dir string, shelf *chart.Shelf, p *plan.Plan, s plan.Service, opts Options) (Service, error) {
	out := Service{
		Name: s.Name, Stage: s.Stage, Chart: "./" + s.Name, Values: s.Name + ".values.yaml",
		Image: s.Image.Ref + s.Image.Mirror, Built: s.Image.Build != "", Secrets: secretsOf(s), plan: s,
	}
	if namespace := p.NamespaceOf(&s); namespace != p.Namespace() {
		out.Namespace = namespace
	}
	for _, from := range s.AllImages() {
		if b := p.Build(from.Build); b != nil && !b.HasDockerfile() {
			out.programs = append(out.programs, b)
		}
	}
	switch {
	case len(s.Manifests) > 0:
		if err := shelf.WriteManifests(ctx, filepath.Join(dir, s.Name), p.NamespaceOf(&s), s); err != nil {
			return out, err
		}
	case s.Chart == nil:
		if err := chart.Write(filepath.Join(dir, s.Name), s); err != nil {
			return out, err
		}
	case s.Chart.Git != "":
		if err := shelf.WriteCopy(ctx, filepath.Join(dir, s.Name), s); err != nil {
			return out, err
		}
	default:
		out.Chart, out.Repo, out.Version = s.Chart.Ref, s.Chart.Repo, s.Chart.Version
		if s.Chart.InWorkspace() {
			rel, err := filepath.Rel(opts.Dir, filepath.Join(opts.Workspace, filepath.FromSlash(s.Chart.Ref)))
			if err != nil {
				return out, err
			}
			out.Chart, out.Version = filepath.ToSlash(rel), "" // a local chart contains its version
		}
	}
	c, err := shelf.Chart(ctx, s, chart.SecretKey)
	if err != nil {
		return out, err
	}
	use := chart.Use{
		Pipeline: p.Pipeline.Name, Environment: p.Environment.Name, Service: s.Name, Image: out.Image, Values: s.Values,
		Images: make(map[string]string),
	}
	for _, im := range s.Images {
		ref := im.Ref + im.Mirror
		out.Images = append(out.Images, Image{im.Name, ref, im.Build != ""})
		if ref != "" {
			use.Images[im.Name] = ref
		}
	}
	for _, f := range s.Filled {
		if f.Secret != nil || use.Images[f.Image] == "" {
			out.missing = append(out.missing, f)
			continue
		}
		use.Filled = append(use.Filled, chart.Fill{Path: f.Path, Value: f.Part.Of(use.Images[f.Image])})
	}
	values := c.Values(use)
	out.sets = sets("", values)
	data, err := yaml.Marshal(values)
	if err != nil {
		return out, err
	}
	head := fmt.Sprintf("# The values of %s in environment %s, which override the chart's own values.\n", s.Name, p.Environment.Name)
	return out, os.WriteFile(filepath.Join(dir, out.Values), append([]byte(head), data...), 0o666)
}

// secretsOf returns the Secrets that pods of a service read, each once.
func secretsOf(s plan.Service) []Secret {
	refs := []plan.SecretRef{}
	for _, ref := range s.SecretRefs() {
		refs = append(refs, ref)
	}
	if s.Workload.Database != nil {
		refs = append(refs, plan.SecretRef{Service: s.Name, Key: "user"}, plan.SecretRef{Service: s.Name, Key: "password"})
	}
	out := []Secret{}
	for _, ref := range refs {
		name, key := chart.SecretKey(ref)
		if secret := (Secret{name, key, ref.Service}); !slices.Contains(out, secret) {
			out = append(out, secret)
		}
	}
	return out
}
