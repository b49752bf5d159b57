package assemble

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// unverified warns about services with images that no rule about signatures can apply to,
// because pipe does not look for them (I16).
func (a *assembly) unverified(p *plan.Plan, services []*builtins.Service) {
	if len(p.Pipeline.Verify) == 0 {
		return
	}
	report := func(d plan.Diagnostic) {
		d.Severity, d.Rule = plan.SeverityWarning, "unverified"
		d.Related = []plan.Related{{Pos: p.Pipeline.Verify[0].Pos, Message: "signed() requires signatures here"}}
		a.session.Report(d)
	}
	for _, s := range services {
		for _, of := range s.Plan.Workload.Patches.Patches {
			if patchesImage(of) {
				report(plan.Diagnostic{
					Pos: of.Pos, Stack: s.Stack, Hint: "name the image with image=, init= or sidecars=, so that it is copied and verified",
					Message: fmt.Sprintf("the image that a patch of %s sets is not verified", s.Plan.Name),
				})
			}
		}
		if s.Plan.MirrorImages || s.Plan.Chart == nil && len(s.Plan.Manifests) == 0 {
			continue
		}
		of, hint := "chart", "leave out images = \"keep\", so that they are copied and verified"
		switch {
		case s.Plan.Chart == nil:
			of = "manifests"
		case s.Plan.Type != plan.Helm:
			hint = "declare it with helm(), whose images are copied and verified, or make sure that it names no other images"
		}
		report(plan.Diagnostic{
			Pos: s.Plan.Pos, Stack: s.Stack, Hint: hint,
			Message: fmt.Sprintf("the images that are named in the %s of %s are not verified", of, s.Plan.Name),
		})
	}
}

// imagePath matches the path of the image of a container or of a volume in a JSON patch.
var imagePath = regexp.MustCompile(`/(containers|initContainers|ephemeralContainers|volumes)/[^/]+/image(/reference)?$`)

// patchesImage reports whether a patch sets the image of a container or of a volume.
func patchesImage(p plan.Patch) bool {
	if setsImage(p.Merge, false) {
		return true
	}
	return slices.ContainsFunc(p.JSON, func(operation plan.Values) bool {
		path, _ := operation["path"].(string)
		switch operation["op"] {
		case "add", "replace":
			return imagePath.MatchString(path) || setsImage(operation["value"], true)
		}
		return false
	})
}

// setsImage reports whether a value has an element of a list with an image, as containers and volumes
// are. element says that the value may be one.
func setsImage(v any, element bool) bool {
	switch v := v.(type) {
	case plan.Values:
		return setsImage(map[string]any(v), element)
	case map[string]any:
		if element && v["image"] != nil {
			return true
		}
		for _, of := range v {
			if setsImage(of, false) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(of any) bool { return setsImage(of, true) })
	}
	return false
}
