package builtins

import (
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/kubepatch"
	"github.com/pipelinefile/pipe/plan"
)

// objectPatches is the parameter for patches of the objects of a service.
type objectPatches struct {
	Patch patchesArg `arg:"patch,kw" default:"[]" only:"generated" help:"changes to objects of the generated chart, for what no other argument sets"`
}

// A Patch is the value of patch().
type Patch struct {
	opaque
	plan plan.Patch
}

// String returns the call that makes it, without its changes.
func (p *Patch) String() string { return "patch(" + strconv.Quote(p.plan.Kind) + ")" }

// Type returns "patch".
func (p *Patch) Type() string { return "patch" }

// patchesArg is a patch, or a list of patches.
type patchesArg []*Patch

func (patchesArg) TypeName() string { return "list[patch] | patch" }

// Unpack accepts both.
func (a *patchesArg) Unpack(v starlark.Value) error {
	if p, ok := v.(*Patch); ok {
		*a = patchesArg{p}
		return nil
	}
	list, ok := v.(starlark.Sequence)
	if _, isDict := v.(*starlark.Dict); !ok || isDict {
		return convert.Want("patch", v).WithHint(`write patch("Deployment", merge = {…})`)
	}
	i := 0
	for e := range starlark.Elements(list) {
		p, ok := e.(*Patch)
		if !ok {
			return convert.Want("patch", e).WithHint(`write patch("Deployment", merge = {…})`).In(i)
		}
		*a = append(*a, p)
		i++
	}
	return nil
}

// operationsArg is the list of json=.
type operationsArg []plan.Values

func (operationsArg) TypeName() string { return "list[dict]" }

// Unpack copies the dicts.
func (a *operationsArg) Unpack(v starlark.Value) error {
	data, p := toData(v, 0)
	if p != nil {
		return p
	}
	list, ok := data.([]any)
	if !ok {
		return convert.Want("list", v).WithHint(`write [{"op": "replace", "path": "/spec/…", "value": …}]`)
	}
	for i, e := range list {
		op, ok := e.(map[string]any)
		if !ok {
			return explain.Errorf("want dict").WithHint(`write {"op": "replace", "path": "/spec/…", "value": …}`).In(i)
		}
		*a = append(*a, op)
	}
	return nil
}

// jsonObject is a dict as plain data.
type jsonObject map[string]any

func (jsonObject) TypeName() string { return "dict" }

// Unpack copies the dict.
func (o *jsonObject) Unpack(v starlark.Value) (err error) {
	*o, err = dataOfDict(v, nil)
	return err
}

type patchArgs struct {
	Kind  string        `arg:"kind" help:"of the objects, such as \"Deployment\""`
	Name  string        `arg:"name" default:"None" help:"of the object; all of the kind if not given"`
	Merge jsonObject    `arg:"merge,kw" default:"{}" help:"a strategic merge patch, as of kubectl patch: None deletes a field"`
	JSON  operationsArg `arg:"json,kw" default:"[]" help:"the operations of a JSON patch: add, replace, remove and test"`
}

var patchFunc = declare("patch", "patch", "Changes objects of a generated chart, by their kind and name. The fields are checked here, and the existence of the object when the chart is rendered.",
	func(c *Call, a *patchArgs) (starlark.Value, error) {
		kinds := kubepatch.Kinds()
		known := slices.Contains(kinds, a.Kind)
		if c.Valid("kind") && !known {
			c.wrong("kind", explain.Errorf("a generated chart has no object of kind %q", explain.Clip(a.Kind)).Near(a.Kind, kinds, "the kinds are "+strings.Join(kinds, ", ")))
		}
		p := &Patch{plan: plan.Patch{Kind: a.Kind, Name: a.Name, Pos: c.Pos()}}
		param := "merge"
		switch {
		case !known || !c.Valid("merge") || !c.Valid("json"):
			return p, nil
		case len(a.Merge) > 0 && len(a.JSON) > 0:
			c.wrong("json", explain.Errorf("is given together with merge").WithHint("write two patches"))
			return p, nil
		case len(a.JSON) > 0:
			param, p.plan.JSON = "json", a.JSON
		case len(a.Merge) > 0:
			p.plan.Merge = plan.Values(a.Merge)
		default:
			c.wrong("merge", explain.Errorf("is missing: the patch changes nothing").WithHint(`write merge = {"spec": {…}} or json = [{"op": "add", …}]`))
			return p, nil
		}
		_, found := kubepatch.Compile(p.plan)
		for _, f := range found {
			c.wrongField(param, f, "")
		}
		return p, nil
	})

// workloads are the kinds of which a generated chart has one object.
var workloads = []string{"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"}

// patches adds the patches of a service.
func (c *Call) patches(s *Service, patches patchesArg) {
	if len(patches) == 0 || s.Plan.Chart != nil {
		return
	}
	w := &s.Plan.Workload
	has := w.Kind()
	for i, p := range patches {
		_ = c.Session.Meter.Charge(portSize)
		if slices.Contains(workloads, p.plan.Kind) && p.plan.Kind != has {
			c.rejectAt("patch", explain.Errorf("the service has no %s: its pods belong to a %s", p.plan.Kind, has).In(i).WithHint("write patch(%q, …)", has),
				plan.Related{Pos: p.plan.Pos, Message: "the patch is declared here"})
			return
		}
		w.Patches.Patches = append(w.Patches.Patches, p.plan)
	}
}
