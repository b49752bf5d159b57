package chart

import (
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// running are the values about how pods run. Those that the service does not set are not
// in values.yaml.
type running struct {
	Autoscale   *autoscale
	Daemon      bool
	Account     string
	Rules       []rule
	Disruption  map[string]any
	Strategy    map[string]any
	Spread      []spread
	Network     *network
	Annotations map[string]string
	PreStop     *health
}

type autoscale struct {
	Min    int    `json:"min"`
	Max    int    `json:"max"`
	CPU    string `json:"cpu,omitempty"`
	Memory string `json:"memory,omitempty"`
}

type rule struct {
	Groups    []string `json:"groups"`
	Resources []string `json:"resources"`
	Verbs     []string `json:"verbs"`
	Names     []string `json:"names,omitempty"`
	Cluster   bool     `json:"cluster,omitempty"`
}

type spread struct {
	Over     string `json:"over"`
	Required bool   `json:"required"`
}

type network struct {
	From []string `json:"from"`
}

func newRunning(w *plan.Workload) running {
	v := running{Daemon: w.Daemon, Account: w.ServiceAccount, Annotations: w.Annotations, PreStop: newHealth(w.PreStop)}
	if a := w.Autoscale; a != nil {
		v.Autoscale = &autoscale{a.Min, a.Max, a.CPU, a.Memory}
	}
	for _, r := range w.RBAC {
		v.Rules = append(v.Rules, rule{r.Groups, r.Resources, r.Verbs, r.Names, r.Cluster})
	}
	if d := w.Disruption; d != nil {
		v.Disruption = amounts("minAvailable", d.MinAvailable, "maxUnavailable", d.MaxUnavailable)
	}
	if s := w.Strategy; s != nil {
		v.Strategy = amounts("maxSurge", s.Surge, "maxUnavailable", s.Unavailable)
		v.Strategy["recreate"] = s.Recreate
	}
	for _, s := range w.Spread {
		v.Spread = append(v.Spread, spread{s.Over, s.Required})
	}
	if w.Network != nil {
		v.Network = &network{w.Network.From}
	}
	return v
}

// amounts returns the numbers and percentages that are not empty, each after its name.
func amounts(named ...string) map[string]any {
	out := map[string]any{}
	for i := 0; i < len(named); i += 2 {
		text := named[i+1]
		if n, err := strconv.Atoi(text); err == nil {
			out[named[i]] = n
		} else if strings.HasSuffix(text, "%") {
			out[named[i]] = text
		}
	}
	return out
}

// runningTemplates lists the templates that the arguments about running need.
func runningTemplates(w *plan.Workload) (names []string) {
	for _, t := range []struct {
		name   string
		needed bool
	}{
		{"hpa.yaml", w.Autoscale != nil}, {"pdb.yaml", w.Disruption != nil}, {"networkpolicy.yaml", w.Network != nil}, {"rbac.yaml", len(w.RBAC) > 0},
		{"_running.tpl", w.PreStop != nil || len(w.Spread) > 0},
	} {
		if t.needed {
			names = append(names, t.name)
		}
	}
	return names
}

// cron are the values of a job with a schedule.
type cron struct {
	TimeZone    string `json:"timeZone,omitempty"`
	Concurrency string `json:"concurrency,omitempty"`
	History     *int   `json:"history,omitempty"`
	Starting    int    `json:"startingSeconds,omitempty"`
}

func newCron(c plan.Cron) cron {
	out := cron{TimeZone: c.TimeZone, Concurrency: c.Concurrency, History: c.History}
	if c.Deadline != 0 {
		out.Starting = seconds(c.Deadline)
	}
	return out
}
