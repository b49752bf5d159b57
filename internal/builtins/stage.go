package builtins

import (
	"strconv"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A Stage is the value of stage().
type Stage struct {
	opaque
	Plan plan.Stage
	From plan.ServiceType // for a stage that default_stages() declared
}

// String returns the call that makes it.
func (s *Stage) String() string { return "stage(" + strconv.Quote(s.Plan.Name) + ")" }

// Type returns "stage".
func (s *Stage) Type() string { return "stage" }

// Hash makes a stage usable as a key.
func (s *Stage) Hash() (uint32, error) { return starlark.String(s.Plan.Name).Hash() }

// AttrNames returns the attributes.
func (s *Stage) AttrNames() []string { return []string{"name", "order"} }

// Attr returns an attribute.
func (s *Stage) Attr(name string) (starlark.Value, error) {
	switch name {
	case "name":
		return starlark.String(s.Plan.Name), nil
	case "order":
		return starlark.MakeInt(s.Plan.Order), nil
	}
	return nil, nil
}

// A StageRef refers to a stage by its value or by its name.
type StageRef struct {
	Stage *Stage
	Name  string
}

func (StageRef) TypeName() string { return "stage | str" }

// Unpack accepts both.
func (r *StageRef) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case *Stage:
		r.Stage, r.Name = v, v.Plan.Name
		return nil
	case starlark.String:
		r.Name = string(v)
		if r.Name == "" {
			return explain.Errorf("is empty")
		}
		return nil
	}
	return convert.Want("stage or str", v)
}

// IsZero reports whether r refers to no stage.
func (r StageRef) IsZero() bool { return r.Stage == nil && r.Name == "" }

// An Edit is a call of rename_stage() or remove_stage().
type Edit struct {
	Stage StageRef
	Name  string // the new name; empty: the stage is removed
	Pos   plan.Pos
	Stack []plan.Frame
}

// A Rule is a default-type rule (S3).
type Rule struct {
	Type  plan.ServiceType
	Stage StageRef
	Pos   plan.Pos
	Stack []plan.Frame
	Given bool // by default_stage(), not by default_stages()
	After int  // number of the session's Edits before it
}

// stageStep is the distance between stages without order=, so that others fit between
// them.
const stageStep = 10

// nextOrder returns the order of a stage without order=, which follows the stage declared
// before it (S1).
func (s *Session) nextOrder() int {
	if n := len(s.Stages); n > 0 {
		return s.Stages[n-1].Plan.Order + stageStep
	}
	return stageStep
}

type stageArgs struct {
	Name        string `arg:"name" help:"free text, unique in the pipeline"`
	Order       *int   `arg:"order,kw" default:"None" help:"stages run in ascending order; 10 more than the stage declared before if not given"`
	Description string `arg:"description,kw" default:"\"\"" help:"what the stage is for"`
}

var stageFunc = declare("stage", "stage", "Declares a stage. A Pipelinefile that declares none has the four default stages.",
	func(c *Call, a *stageArgs) (starlark.Value, error) {
		if c.Valid("name") {
			c.wrong("name", checkStageName(a.Name))
		}
		order := c.Session.nextOrder()
		if a.Order != nil {
			order = *a.Order
			if order < -1e9 || order > 1e9 {
				c.wrong("order", explain.Errorf("%d is out of range", order))
				order = 0
			}
		}
		st := &Stage{Plan: plan.Stage{Name: a.Name, Order: order, Description: a.Description, Pos: c.Pos()}}
		if c.Valid("name") {
			c.Session.keep()
			c.Session.Stages = append(c.Session.Stages, st)
		}
		return st, nil
	})

func checkStageName(name string) *explain.Error {
	switch {
	case strings.TrimSpace(name) == "":
		return explain.Errorf("is empty")
	case len(name) > 200:
		return explain.Errorf("has %d characters, at most 200 are possible", len(name))
	case strings.ContainsAny(name, "\n\r\t\x00"):
		return explain.Errorf("%q has more than one line", explain.Clip(name))
	}
	return nil
}

// serviceTypes are all types of services.
var serviceTypes = append(DefaultTypes[:], plan.Helm, plan.Manifests)

// DefaultTypes are the types of services, in the order of their default stages (S2).
var DefaultTypes = [...]plan.ServiceType{plan.Database, plan.Job, plan.Container, plan.Application}

// AddDefaultStages declares the four default stages and their rules (S2).
func (s *Session) AddDefaultStages(pos plan.Pos) []*Stage {
	var out []*Stage
	for _, t := range DefaultTypes {
		st := &Stage{Plan: plan.Stage{Name: "DEFAULT " + string(t), Order: s.nextOrder(), Pos: pos}, From: t}
		s.Stages = append(s.Stages, st)
		s.Rules = append(s.Rules, Rule{Type: t, Stage: StageRef{Stage: st, Name: st.Plan.Name}, Pos: pos, After: len(s.Edits)})
		out = append(out, st)
	}
	return out
}

type noArgs struct{}

var defaultStagesFunc = declare("default_stages", "struct",
	"Declares the four default stages, each with the rule for its type, so that others can be placed around them. Returns `struct(database, job, container, application)`.",
	func(c *Call, _ *noArgs) (starlark.Value, error) {
		fields := starlark.StringDict{}
		for i, st := range c.Session.AddDefaultStages(c.Pos()) {
			fields[strings.ToLower(string(DefaultTypes[i]))] = st
		}
		return starlarkstruct.FromStringDict(starlarkstruct.Default, fields), nil
	})

type defaultStageArgs struct {
	Type  string   `arg:"type" choices:"DATABASE|JOB|CONTAINER|APPLICATION|HELM|MANIFESTS" help:"DATABASE, JOB, CONTAINER, APPLICATION, HELM or MANIFESTS"`
	Stage StageRef `arg:"stage" help:"the stage of services of that type that have no stage="`
}

var defaultStageFunc = declare("default_stage", "None", "Sets the rule for a type: its services without `stage=` are in that stage.",
	func(c *Call, a *defaultStageArgs) (starlark.Value, error) {
		if c.Valid("type") {
			c.wrong("type", c.choice("type", a.Type))
		}
		if c.Valid("type") && c.Valid("stage") {
			c.Session.keep()
			c.Session.Rules = append(c.Session.Rules, Rule{
				Type: plan.ServiceType(a.Type), Stage: a.Stage, Pos: c.Pos(), Stack: c.Session.Stack(c.Thread), Given: true, After: len(c.Session.Edits),
			})
		}
		return starlark.None, nil
	})

type renameStageArgs struct {
	Stage StageRef `arg:"stage" help:"the stage, or its name"`
	Name  string   `arg:"name" help:"the new name"`
}

var renameStageFunc = declare("rename_stage", "None", "Renames a stage. A rule for it no longer applies.",
	func(c *Call, a *renameStageArgs) (starlark.Value, error) {
		if c.Valid("name") {
			c.wrong("name", checkStageName(a.Name))
		}
		if c.Valid("stage") && c.Valid("name") {
			c.edit(a.Stage, a.Name)
		}
		return starlark.None, nil
	})

type removeStageArgs struct {
	Stage StageRef `arg:"stage" help:"the stage, or its name"`
}

var removeStageFunc = declare("remove_stage", "None", "Removes a stage. A rule for it no longer applies.",
	func(c *Call, a *removeStageArgs) (starlark.Value, error) {
		if c.Valid("stage") {
			c.edit(a.Stage, "")
		}
		return starlark.None, nil
	})

func (c *Call) edit(ref StageRef, name string) {
	c.Session.keep()
	c.Session.Edits = append(c.Session.Edits, Edit{Stage: ref, Name: name, Pos: c.Pos(), Stack: c.Session.Stack(c.Thread)})
}
