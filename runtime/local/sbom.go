package local

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/sbom"
)

// maxSBOMs is the number of images whose SBOMs are in memory concurrently: each may have some of
// sbom.MaxSize.
const maxSBOMs = 4

// SBOM reads the SBOMs of the deployed images of an environment (I13). It changes nothing. An image
// whose SBOM cannot be found or read says so. reading, if set, is called with the number of images.
func (r *Runtime) SBOM(ctx context.Context, env *runtime.Environment, reading func(images int)) (*sbom.Inventory, error) {
	inv := &sbom.Inventory{Version: sbom.Version, Pipeline: env.Key.Pipeline, Environment: env.Key.Name, Images: []sbom.Image{}}
	if env.Plan == nil {
		return inv, nil
	}
	hide := r.hideIn(env.Plan)
	all, err := r.deployedImages(ctx, env)
	if err != nil {
		return nil, err
	}
	for _, of := range all {
		im := sbom.Image{Service: of.service, Name: of.name, Image: of.ref, Packages: []sbom.Package{}, Formats: []sbom.Format{}}
		switch _, _, digest := plan.CutImage(of.ref); {
		case of.ref == "":
			im.Why = sbom.UnknownImages
		case digest == "":
			im.Why = sbom.ByTag
		}
		inv.Images = append(inv.Images, im)
	}
	err = readDeployed(ctx, all, maxSBOMs, reading, func(ref string, at []int) {
		read := sbom.Image{Packages: []sbom.Package{}, Formats: []sbom.Format{}}
		r.readSBOM(ctx, ref, &read, hide)
		for _, i := range at {
			im := &inv.Images[i]
			read.Service, read.Name, read.Image = im.Service, im.Name, im.Image
			*im = read
		}
	})
	if err != nil {
		return nil, err
	}
	for i, of := range all {
		if b := env.Plan.Build(of.build); b != nil && b.HasDockerfile() && inv.Images[i].Why == sbom.None {
			inv.Advice = r.adviceSBOM(env.Plan.Pipeline)
		}
	}
	return inv, nil
}

// adviceSBOM says what to do about an image of a Dockerfile that has no SBOM.
func (r *Runtime) adviceSBOM(p plan.Pipeline) string {
	switch {
	case p.NoSBOM:
		return "sbom = False of pipeline() is why images are built without SBOMs"
	case p.SBOM == "" && len(r.scanners) == 0:
		return "images get SBOMs when they are built if pipe-sbom-linux-ARCH, for the platform of the builder, is beside pipe (\"make sbom\" builds it from the sources of pipe), or if sbom= of pipeline() names a scanner"
	}
	return "an image that was built before, in watch mode, or while the scanner failed gets an SBOM when it is built again"
}

// readSBOM reads the SBOMs of an image, which is named by digest.
func (r *Runtime) readSBOM(ctx context.Context, ref string, im *sbom.Image, hide func(string) string) {
	found, err := r.images.Attachments(ctx, ref, sbom.MaxSize, sbom.IsSBOM)
	if err != nil {
		im.Why, im.Error = sbom.Unreadable, hide(err.Error())
		return
	}
	errs, has := found.Errs, make(map[string]bool) // platforms
	for _, a := range found.All {
		document, err := sbom.Read(a.Data)
		switch {
		case errors.Is(err, sbom.ErrOther):
		case err != nil:
			errs = append(errs, fmt.Errorf("an SBOM that is attached to it cannot be read: %w", err))
		case document.Subjects == nil:
			im.Join(document)
			has[a.Platform] = true
		case len(document.Subjects) == 0:
			errs = append(errs, errors.New("an SBOM that is attached to it does not say of which image it is"))
		default:
			about := false
			for _, digest := range document.Subjects {
				if platform, ok := found.Subjects[digest]; ok {
					about, has[platform] = true, true
				}
			}
			if about {
				im.Join(document)
			} else {
				errs = append(errs, fmt.Errorf("an SBOM that is attached to it is of another image: %s", document.Subjects[0]))
			}
		}
	}
	if len(im.Formats) > 0 && !has[""] {
		im.Without = slices.DeleteFunc(found.Platforms, func(platform string) bool { return has[platform] })
	}
	switch {
	case len(errs) == 1:
		im.Why, im.Error = sbom.Unreadable, hide(errs[0].Error())
	case len(errs) > 1:
		im.Why, im.Error = sbom.Unreadable, hide(fmt.Sprintf("%v, and %d more", errs[0], len(errs)-1))
	case len(im.Formats) == 0:
		im.Why = sbom.None
	}
}
