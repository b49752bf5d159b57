package local

import (
	"context"
	"errors"
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
	for _, im := range all {
		of := scan.Image{Service: im.service, Name: im.name, Image: im.ref, Findings: []scan.Finding{}}
		switch _, _, digest := plan.CutImage(im.ref); {
		case im.ref == "":
			of.Why = scan.UnknownImages
		case digest == "":
			of.Why = scan.ByTag
		}
		inv.Images = append(inv.Images, of)
	}
	now := time.Now()
	err = readDeployed(ctx, all, lookups, reading, func(ref string, at []int) {
		report, err := r.Scans.Report(ctx, with, ref)
		for _, i := range at {
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
	if err != nil {
		return nil, err
	}
	return inv, nil
}
