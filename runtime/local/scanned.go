package local

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/scan"
)

// lookups is the number of concurrent lookups of reports.
const lookups = 16

// ErrNoScan is the error of [Runtime.Scanned] for an environment whose plan has no scan().
var ErrNoScan = errors.New("the plan that was deployed has no scan=")

// Scanned reads the reports that are kept of the deployed images of an environment (I14). It scans
// nothing and changes nothing. An image whose report cannot be found or read says so. reading, if set, is
// called with the number of images.
func (r *Runtime) Scanned(ctx context.Context, env *runtime.Environment, reading func(images int)) (*scan.Inventory, error) {
	inv := &scan.Inventory{Version: scan.Version, Pipeline: env.Key.Pipeline, Environment: env.Key.Name, Images: []scan.Image{}}
	if env.Plan == nil {
		return inv, nil
	}
	if env.Plan.Pipeline.Scan == nil {
		return nil, ErrNoScan
	}
	with := *env.Plan.Pipeline.Scan
	inv.Max = with.Max
	hide := r.hideIn(env.Plan)
	all, err := r.deployedImages(ctx, env)
	if err != nil {
		return nil, err
	}
	at := make(map[string][]int) // by reference
	for i, im := range all {
		of := scan.Image{Service: im.service, Name: im.name, Image: im.ref, Findings: []scan.Finding{}}
		switch _, _, digest := plan.CutImage(im.ref); {
		case im.ref == "":
			of.Why = scan.UnknownImages
		case digest == "":
			of.Why = scan.ByTag
		default:
			at[im.ref] = append(at[im.ref], i)
		}
		inv.Images = append(inv.Images, of)
	}
	if reading != nil {
		reading(len(at))
	}
	now := time.Now()
	concurrently(lookups, slices.Sorted(maps.Keys(at)), func(ref string) {
		report, err := r.Scans.Report(ctx, with, ref)
		for _, i := range at[ref] {
			switch im := &inv.Images[i]; {
			case errors.Is(err, runtime.ErrNotFound):
				im.Why = scan.None
			case err != nil:
				im.Why, im.Error = scan.Unreadable, hide(err.Error())
			default:
				im.At, im.Findings = report.At, scan.Findings(report, with, now)
			}
		}
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return inv, nil
}

// A deployedImage is an image that a service of an environment was deployed with.
type deployedImage struct {
	service, name string
	ref           string // empty: the images of its chart or its manifests are not known
}

// deployedImages returns the images of an environment, in the order of the services of its plan, also
// those that charts and manifests name and that are copied.
func (r *Runtime) deployedImages(ctx context.Context, env *runtime.Environment) (all []deployedImage, err error) {
	mirrored, err := r.mirroredFor(ctx, env)
	if err != nil {
		return nil, err
	}
	for i := range env.Plan.Services {
		s := &env.Plan.Services[i]
		for name := range s.AllImages() {
			if ref := env.Images[plan.ImageKey(s.Name, name)]; ref != "" {
				all = append(all, deployedImage{s.Name, name, ref})
			}
		}
		of, deployed := mirrored[s.Name]
		for _, name := range slices.Sorted(maps.Keys(of)) {
			all = append(all, deployedImage{s.Name, name, of[name]})
		}
		if s.OthersImages() != "" && !s.MirrorImages && deployed {
			all = append(all, deployedImage{service: s.Name})
		}
	}
	return all, nil
}
