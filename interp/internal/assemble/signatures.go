package assemble

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// unverified finds the services with images that no rule about signatures can apply to, because
// pipe does not look for them (I16). What a patch names is known here, and refused if a rule covers
// it; what a chart names is not, which is a warning.
func (a *assembly) unverified(p *plan.Plan, services []*builtins.Service) {
	if len(p.Pipeline.Verify) == 0 {
		return
	}
	for _, s := range services {
		for _, of := range s.Plan.Workload.Patches.Patches {
			a.unverifiedPatch(p.Pipeline.Verify, s, of)
		}
	}
	a.unseen(services, "unverified", "verified", plan.Related{Pos: p.Pipeline.Verify[0].Pos, Message: "signed() requires signatures here"})
}

// unseen warns about images that charts and manifests name and that pipe does not look for. done is
// what is not done with them.
func (a *assembly) unseen(services []*builtins.Service, rule, done string, related plan.Related) {
	for _, s := range services {
		if s.Plan.MirrorImages || s.Plan.Chart == nil && len(s.Plan.Manifests) == 0 {
			continue
		}
		of, hint := "chart", "leave out images = \"keep\", so that they are copied and "+done
		switch {
		case s.Plan.Chart == nil:
			of = "manifests"
		case s.Plan.Type != plan.Helm:
			hint = "declare it with helm(), whose images are copied and " + done + ", or make sure that it names no other images"
		}
		a.session.Report(plan.Diagnostic{
			Severity: plan.SeverityWarning, Rule: rule, Pos: s.Plan.Pos, Stack: s.Stack, Hint: hint,
			Message: fmt.Sprintf("the images that are named in the %s of %s are not %s", of, s.Plan.Name, done),
			Related: []plan.Related{related},
		})
	}
}

// unverifiedPatch refuses a patch that sets an image which a rule covers: it would be deployed
// without a look at its signatures.
func (a *assembly) unverifiedPatch(rules []plan.SignatureRule, s *builtins.Service, patch plan.Patch) {
	for _, image := range patchedImages(patch) {
		i := slices.IndexFunc(rules, func(rule plan.SignatureRule) bool { return rule.Covers(image) })
		if i < 0 {
			continue
		}
		a.refuseImage(s, patch, image, "whose signatures are not verified", "verified, or exclude it from the rule",
			plan.Related{Pos: rules[i].Pos, Message: "signed() requires a signature of it"})
	}
}

// imagePath matches the path of the image of a container or of a volume in a JSON patch.
var imagePath = regexp.MustCompile(`/(containers|initContainers|ephemeralContainers|volumes)/[^/]+/image(/reference)?$`)

// refuseImage reports an image that a patch sets, for which pipe does not look. left is what is not done
// with it, and done what would be if it was named elsewhere.
func (a *assembly) refuseImage(s *builtins.Service, patch plan.Patch, image, left, done string, related plan.Related) {
	a.session.Report(plan.Diagnostic{
		Severity: plan.SeverityError, Pos: patch.Pos, Stack: s.Stack, Related: []plan.Related{related},
		Hint:    "name the image with image=, init= or sidecars=, so that it is copied and " + done,
		Message: fmt.Sprintf("a patch of %s sets the image %s, %s", s.Plan.Name, image, left),
	})
}

// patchedImages returns the images of containers and volumes that a patch sets, sorted, each once.
func patchedImages(p plan.Patch) []string {
	all := imagesIn(p.Merge, false)
	for _, operation := range p.JSON {
		path, _ := operation["path"].(string)
		switch op := operation["op"]; {
		case op != "add" && op != "replace":
		case imagePath.MatchString(path):
			all = append(all, imageOf(operation["value"])...)
		default:
			all = append(all, imagesIn(operation["value"], true)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// imagesIn returns the images of the elements of lists in a value, as containers and volumes are.
// element says that the value may be one.
func imagesIn(v any, element bool) (all []string) {
	switch v := v.(type) {
	case plan.Values:
		return imagesIn(map[string]any(v), element)
	case map[string]any:
		if element {
			all = imageOf(v["image"])
		}
		for _, of := range v {
			all = append(all, imagesIn(of, false)...)
		}
	case []any:
		for _, of := range v {
			all = append(all, imagesIn(of, true)...)
		}
	}
	return all
}

// imageOf returns the image that is the value of a field of a container, or of a volume.
func imageOf(v any) []string {
	if of, ok := v.(plan.Values); ok {
		v = map[string]any(of)
	}
	if of, ok := v.(map[string]any); ok {
		v = of["reference"]
	}
	if image, ok := v.(string); ok {
		return []string{image}
	}
	return nil
}
