package builtins

import (
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// amountArg is a number, or a string such as "25%" or "500m".
type amountArg string

func (amountArg) TypeName() string { return "int | str" }

// Unpack accepts both.
func (a *amountArg) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case starlark.Int:
		*a = amountArg(v.String())
		return nil
	case starlark.String:
		*a = amountArg(v)
		return nil
	}
	return convert.Want("int or str", v)
}

// targetArg is a percentage as a number or a string such as "80%", or a quantity.
type targetArg string

func (targetArg) TypeName() string { return "int | str" }

// Unpack accepts them all.
func (a *targetArg) Unpack(v starlark.Value) error {
	var amount amountArg
	if err := amount.Unpack(v); err != nil {
		return err
	}
	if _, percent := v.(starlark.Int); percent {
		amount += "%"
	}
	*a = targetArg(amount)
	return nil
}

// maxPods is more pods than a cluster has.
const maxPods = 100_000

// decimal returns a number that is written as Go and YAML write it: 010 and +1 are not.
func decimal(text string) (n int, ok bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && strconv.Itoa(n) == text
}

// pods checks a number of pods, or a percentage of them.
func (c *Call) pods(param string, a *amountArg) string {
	if a == nil {
		return ""
	}
	if !IsPods(string(*a)) {
		c.wrong(param, explain.Errorf("%q is not a number of pods", explain.Clip(string(*a))).WithHint(`write a number such as 1, or a percentage such as "25%%"`))
	}
	return string(*a)
}

// An Autoscale is the value of autoscale().
type Autoscale struct {
	opaque
	plan plan.Autoscale
}

// String returns "autoscale(min, max)".
func (a *Autoscale) String() string {
	return "autoscale(" + strconv.Itoa(a.plan.Min) + ", " + strconv.Itoa(a.plan.Max) + ")"
}

// Type returns "autoscale".
func (a *Autoscale) Type() string { return "autoscale" }

type autoscaleArgs struct {
	Min    int        `arg:"min" help:"the minimum number of pods"`
	Max    int        `arg:"max" help:"the maximum number of pods"`
	CPU    *targetArg `arg:"cpu,kw" default:"None" help:"the target average: a percentage of the request in resources=, such as 80, or a quantity such as \"500m\""`
	Memory *targetArg `arg:"memory,kw" default:"None" help:"the target average: a percentage of the request in resources=, such as 80, or a quantity such as \"512Mi\""`
}

var autoscaleFunc = declare("autoscale", "autoscale", "Scales the pods of a service by their average load.",
	func(c *Call, a *autoscaleArgs) (starlark.Value, error) {
		switch {
		case a.Min < 1:
			c.wrong("min", explain.Errorf("want 1 or more, got %d", a.Min))
		case a.Max < a.Min:
			c.wrong("max", explain.Errorf("%d is less than min, which is %d", a.Max, a.Min))
		case a.Max > maxPods:
			c.wrong("max", explain.Errorf("want %d at most, got %d", maxPods, a.Max))
		}
		if a.CPU == nil && a.Memory == nil {
			return nil, c.Errorf("min", "a target is required; write, for example, cpu = 80")
		}
		use := func(param string, a *targetArg, check func(string) *explain.Error) string {
			if a == nil {
				return ""
			}
			percent, is := strings.CutSuffix(string(*a), "%")
			if !is {
				c.wrong(param, check(string(*a)))
			} else if n, ok := decimal(percent); !ok || n < 1 || n > 1000 {
				c.wrong(param, explain.Errorf("want a percentage from 1 to 1000, got %s", explain.Clip(percent)))
			}
			return string(*a)
		}
		return &Autoscale{plan: plan.Autoscale{
			Min: a.Min, Max: a.Max,
			CPU:    use("cpu", a.CPU, func(q string) *explain.Error { return checkQuantity(q, "500m") }),
			Memory: use("memory", a.Memory, func(q string) *explain.Error { return checkMemory(q, "512Mi") }),
		}}, nil
	})

// An AccessRule is the value of rule().
type AccessRule struct {
	opaque
	plan plan.Rule
}

// String returns "rule(…)".
func (r *AccessRule) String() string { return "rule(…)" }

// Type returns "rule".
func (r *AccessRule) Type() string { return "rule" }

type ruleArgs struct {
	Resources []string `arg:"resources" help:"such as [\"pods\", \"pods/log\"]; [\"*\"] are all"`
	Verbs     []string `arg:"verbs" help:"such as [\"get\", \"list\", \"watch\"]; [\"*\"] are all"`
	Groups    []string `arg:"groups,kw" default:"None" help:"the API groups of the resources, such as \"apps\"; \"\", the core group of pods, Secrets and Services, if not given"`
	Names     []string `arg:"names,kw" default:"[]" help:"of the objects; all if not given"`
	Cluster   bool     `arg:"cluster,kw" default:"False" help:"in all namespaces, and for resources that are in none"`
}

var ruleFunc = declare("rule", "rule", "Allows a service to use resources of the Kubernetes API, for `rbac=`.",
	func(c *Call, a *ruleArgs) (starlark.Value, error) {
		if len(a.Resources) == 0 || slices.Contains(a.Resources, "") {
			c.wrong("resources", explain.Errorf("no resource is given").WithHint(`write, for example, ["pods"]`))
		}
		if len(a.Verbs) == 0 || slices.Contains(a.Verbs, "") {
			c.wrong("verbs", explain.Errorf("no verb is given").WithHint(`write, for example, ["get", "list", "watch"]`))
		}
		if a.Groups == nil {
			a.Groups = []string{""}
		} else if len(a.Groups) == 0 {
			c.wrong("groups", explain.Errorf("no group is given").WithHint(`write, for example, ["apps"], or leave it out for pods, Secrets and Services`))
		}
		for i, r := range a.Resources {
			if r != strings.ToLower(r) {
				c.wrong("resources", explain.Errorf("%q is a kind: a resource is plural and in lower-case letters", explain.Clip(r)).In(i))
			}
		}
		for i, g := range a.Groups {
			if group, _, versioned := strings.Cut(g, "/"); versioned {
				c.wrong("groups", explain.Errorf("%q has a version, but rights apply to all versions", explain.Clip(g)).WithHint("write %q", group).In(i))
			}
		}
		for i, v := range a.Verbs {
			if v != strings.ToLower(v) {
				c.wrong("verbs", explain.Errorf("verbs are in lower-case letters").WithHint("write %q", strings.ToLower(explain.Clip(v))).In(i))
			}
		}
		if slices.Contains(a.Verbs, "create") && len(a.Names) > 0 {
			c.wrong("names", explain.Errorf("create cannot be limited to names, because the object does not exist yet"))
		}
		return &AccessRule{plan: plan.Rule{Groups: a.Groups, Resources: a.Resources, Verbs: a.Verbs, Names: a.Names, Cluster: a.Cluster}}, nil
	})

// A Disruption is the value of disruption().
type Disruption struct {
	opaque
	plan plan.Disruption
}

// String returns "disruption(…)".
func (d *Disruption) String() string { return "disruption(…)" }

// Type returns "disruption".
func (d *Disruption) Type() string { return "disruption" }

type disruptionArgs struct {
	MinAvailable   *amountArg `arg:"min_available,kw" default:"None" help:"how many pods stay available, such as 1 or \"50%\""`
	MaxUnavailable *amountArg `arg:"max_unavailable,kw" default:"None" help:"how many pods are evicted at a time, such as 1 or \"50%\""`
}

var disruptionFunc = declare("disruption", "disruption", "Limits how many pods are evicted at a time, such as when a node is drained.",
	func(c *Call, a *disruptionArgs) (starlark.Value, error) {
		switch {
		case a.MinAvailable != nil && a.MaxUnavailable != nil:
			c.against("max_unavailable", "min_available", explain.Errorf("min_available= is also given").WithHint("leave out one of them"))
		case a.MinAvailable == nil && a.MaxUnavailable == nil:
			return nil, c.Errorf("min_available", "no limit is given; write, for example, max_unavailable = 1")
		}
		return &Disruption{plan: plan.Disruption{MinAvailable: c.pods("min_available", a.MinAvailable), MaxUnavailable: c.pods("max_unavailable", a.MaxUnavailable)}}, nil
	})

// A Strategy is the value of strategy().
type Strategy struct {
	opaque
	plan plan.Strategy
}

// String returns "strategy(…)".
func (s *Strategy) String() string { return "strategy(…)" }

// Type returns "strategy".
func (s *Strategy) Type() string { return "strategy" }

type strategyArgs struct {
	Recreate    bool       `arg:"recreate,kw" default:"False" help:"whether all pods end before new ones start"`
	Surge       *amountArg `arg:"surge,kw" default:"None" help:"how many additional pods there may be meanwhile, such as 1 or \"25%\"; \"25%\" if not given"`
	Unavailable *amountArg `arg:"unavailable,kw" default:"None" help:"how many pods may be missing meanwhile, such as 0 or \"25%\"; \"25%\" if not given"`
}

var strategyFunc = declare("strategy", "strategy", "Describes how the pods of a service are replaced by those of a new revision.",
	func(c *Call, a *strategyArgs) (starlark.Value, error) {
		s := plan.Strategy{Recreate: a.Recreate, Surge: c.pods("surge", a.Surge), Unavailable: c.pods("unavailable", a.Unavailable)}
		for param, given := range map[string]bool{"surge": a.Surge != nil, "unavailable": a.Unavailable != nil} {
			if a.Recreate && given {
				c.against(param, "recreate", explain.Errorf("all pods end first"))
				break
			}
		}
		if strings.Trim(s.Surge, "%") == "0" && strings.Trim(s.Unavailable, "%") == "0" {
			c.against("unavailable", "surge", explain.Errorf("pods can only be replaced if there may be more or fewer of them meanwhile"))
		}
		return &Strategy{plan: s}, nil
	})

// A Spread is the value of spread().
type Spread struct {
	opaque
	plan plan.Spread
}

// String returns "spread(…)".
func (s *Spread) String() string { return "spread(" + strconv.Quote(s.plan.Over) + ")" }

// Type returns "spread".
func (s *Spread) Type() string { return "spread" }

type spreadArgs struct {
	Over     overArg `arg:"over" help:"\"zone\", \"host\", or a label of nodes"`
	Required bool    `arg:"required,kw" default:"False" help:"whether a pod waits instead of making the distribution uneven"`
}

var spreadFunc = declare("spread", "spread", "Distributes the pods of a service evenly, for `spread=`.",
	func(c *Call, a *spreadArgs) (starlark.Value, error) {
		return &Spread{plan: plan.Spread{Over: string(a.Over), Required: a.Required}}, nil
	})

// overArg is a label of nodes, or a short name of one.
type overArg string

func (overArg) TypeName() string { return "str" }

// Unpack accepts both.
func (a *overArg) Unpack(v starlark.Value) error {
	var text string
	if p := convert.String(&text, v); p != nil {
		return p
	}
	switch text {
	case "zone", "region":
		text = "topology.kubernetes.io/" + text
	case "host", "node":
		text = "kubernetes.io/hostname"
	default:
		if p := checkAnnotations(map[string]string{text: ""}); p != nil {
			return explain.Errorf("%q is not a label of nodes", explain.Clip(text)).WithHint(`write "zone", "host", or such as "example.com/rack"`)
		}
	}
	*a = overArg(text)
	return nil
}

// spreadArg is a spread(), or what it is over.
type spreadArg struct{ plan plan.Spread }

func (spreadArg) TypeName() string { return "spread | str" }

// Unpack accepts both.
func (a *spreadArg) Unpack(v starlark.Value) error {
	if s, ok := v.(*Spread); ok {
		a.plan = s.plan
		return nil
	}
	var over overArg
	if err := over.Unpack(v); err != nil {
		return err
	}
	a.plan.Over = string(over)
	return nil
}
