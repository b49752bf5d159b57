package builtins

import (
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for isTimeZone, where the machine has no database

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// runningArgs are the parameters about how the pods of a service run.
type runningArgs struct {
	Autoscale      *Autoscale        `arg:"autoscale,kw" default:"None" only:"generated running" help:"changes the number of pods by their load, instead of replicas="`
	Daemon         bool              `arg:"daemon,kw" default:"False" only:"generated running" help:"a pod on each node, as a DaemonSet, instead of replicas="`
	ServiceAccount string            `arg:"service_account,kw" default:"None" only:"generated" sets:"serviceAccount.create serviceAccount.name serviceAccount.automount" help:"a ServiceAccount that exists; its own if not given"`
	RBAC           []*AccessRule     `arg:"rbac,kw" default:"[]" only:"generated" sets:"serviceAccount.create serviceAccount.automount" help:"what its own ServiceAccount may do in the Kubernetes API"`
	Disruption     *Disruption       `arg:"disruption,kw" default:"None" only:"generated running" help:"how many pods may be evicted at a time"`
	Strategy       *Strategy         `arg:"strategy,kw" default:"None" only:"generated running" help:"how pods are replaced; one after another if not given, and with volumes after the others ended"`
	Spread         []spreadArg       `arg:"spread,kw" default:"[]" only:"generated running" help:"over what its pods are distributed: \"zone\", \"host\" or a label of nodes"`
	Network        *[]serviceItem    `arg:"network,kw" default:"None" only:"generated running" empty:"means" help:"the services that may connect to it; everyone if not given. What is open to the outside stays open"`
	Annotations    map[string]string `arg:"annotations,kw" default:"{}" only:"generated" help:"of its pods"`
	PreStop        *Health           `arg:"pre_stop,kw" default:"None" only:"generated" help:"a command() or an http() request before a container is told to end"`
	Termination    *durationArg      `arg:"termination,kw" default:"None" only:"generated" sets:"terminationGracePeriodSeconds" help:"how long a pod may take to end before it is killed, in whole seconds; 30s, of a database 60s, if not given"`
}

// running sets how the pods of a service run, and checks that the arguments agree.
func (c *Call) running(t plan.ServiceType, s *Service, a *common) {
	w := &s.Plan.Workload
	r := &a.runningArgs
	w.Daemon, w.ServiceAccount = r.Daemon, r.ServiceAccount
	if r.ServiceAccount != "" {
		c.wrong("service_account", checkClaimName(r.ServiceAccount, "a ServiceAccount"))
		if len(r.RBAC) > 0 {
			c.against("rbac", "service_account", explain.Errorf("the rights are for the ServiceAccount that pipe creates, and service_account= names another").
				WithHint("leave out one of them"))
		}
	}
	for _, rule := range r.RBAC {
		w.RBAC = append(w.RBAC, rule.plan)
	}
	if len(r.Annotations) > 0 {
		c.wrong("annotations", checkAnnotations(r.Annotations))
		for _, name := range []string{"checksum/files", "checksum/secrets"} {
			if _, has := r.Annotations[name]; has && a.Chart == nil {
				c.wrong("annotations", explain.Errorf("pipe sets it, so that pods are replaced when their files and secrets change").In(explain.Key(name)))
			}
		}
		w.Annotations = r.Annotations
	}
	w.Termination = c.whole("termination", r.Termination)
	if r.PreStop != nil {
		h := r.PreStop.plan
		switch {
		case h.Kind != plan.HealthCommand && h.Kind != plan.HealthHTTP:
			c.wrong("pre_stop", explain.Errorf("want command() or http(), got %s()", h.Kind))
		case h.Period != 0 || h.Timeout != 0 || h.Failures != 0 || h.Delay != 0:
			c.wrong("pre_stop", explain.Errorf("it is run once: it has no period, timeout, failures or delay").WithHint("termination = says how long it may take"))
		case c.Valid("ports"):
			c.wrong("pre_stop", completeHealth(&h, w.Ports))
		}
		w.PreStop = &h
	}
	for i, spread := range r.Spread {
		if first := slices.IndexFunc(w.Spread, func(s plan.Spread) bool { return s.Over == spread.plan.Over }); first >= 0 && c.Valid("spread") {
			d := c.Diagnostic(c.ArgPos("spread", i), explain.Errorf("spread[%d]: the pods are distributed over %s already", i, spread.plan.Over).WithHint("leave out one of them"))
			d.Related = []plan.Related{{Pos: c.ArgPos("spread", first), Message: "the first is here"}}
			c.Session.Report(d)
			c.Invalidate("spread")
		}
		w.Spread = append(w.Spread, spread.plan)
	}
	if r.Network != nil {
		n := &plan.Network{From: []string{}}
		for i, from := range *r.Network {
			n.From = append(n.From, from.name)
			s.claim().Peers = append(s.claim().Peers, Peer{from.name, c.ArgPos("network", i)})
		}
		w.Network = n
	}
	if r.Disruption != nil {
		w.Disruption = &r.Disruption.plan
	}
	if r.Strategy != nil {
		w.Strategy = &r.Strategy.plan
	}
	if r.Autoscale != nil {
		w.Autoscale = &r.Autoscale.plan
	}
	if t == plan.Job {
		for _, param := range c.givenOnly("running") {
			c.wrong(param, explain.Errorf("a job is one pod that runs to its end"))
		}
		return
	}
	c.scaling(t, a)
}

// scaling checks what decides how many pods there are, and how they are replaced.
func (c *Call) scaling(t plan.ServiceType, a *common) {
	r := &a.runningArgs
	volumes, mode := false, plan.Access("")
	if i := slices.IndexFunc(a.Volumes, (*Volume).exclusive); i >= 0 {
		volumes, mode = true, a.Volumes[i].access()
	}
	if _, own := a.Values["replicas"]; own && r.Autoscale != nil {
		c.wrongValue([]string{"replicas"}, explain.Errorf("the autoscaler sets the number of pods").WithHint("leave out one of them"), c.givenHere("autoscale"))
	} else if own && r.Daemon {
		c.wrongValue([]string{"replicas"}, explain.Errorf("a DaemonSet has a pod on each node").WithHint("leave out one of them"), c.givenHere("daemon"))
	}
	switch {
	case t == plan.Database && r.Autoscale != nil:
		c.wrong("autoscale", explain.Errorf("a database without chart= has one pod"))
	case t == plan.Database && r.Daemon:
		c.wrong("daemon", explain.Errorf("a database without chart= has one pod"))
	case t == plan.Database && r.Strategy != nil:
		c.wrong("strategy", explain.Errorf("a database without chart= has one pod, which is recreated"))
	case r.Autoscale != nil && r.Daemon:
		c.against("daemon", "autoscale", explain.Errorf("a DaemonSet has a pod on each node and cannot be scaled"))
	case r.Autoscale != nil && c.Given("replicas"):
		c.against("replicas", "autoscale", explain.Errorf("the autoscaler sets the number of pods").WithHint("leave out one of them"))
	case r.Autoscale != nil && volumes && r.Autoscale.plan.Max > 1:
		c.against("autoscale", "volumes", explain.Errorf("several pods cannot share a volume: it is %s, and the second pod would wait for it", mode))
	case r.Daemon && c.Given("replicas"):
		c.against("replicas", "daemon", explain.Errorf("a DaemonSet has a pod on each node").WithHint("leave out one of them"))
	case r.Daemon && volumes:
		c.against("daemon", "volumes", explain.Errorf("the pods of a DaemonSet cannot share a volume: it is %s", mode))
	case r.Strategy != nil && !r.Strategy.plan.Recreate && volumes:
		c.against("strategy", "volumes", explain.Errorf("a new pod cannot mount the volume before the old pod ends: it is %s", mode).WithHint("leave out strategy =: pods with volumes are recreated"))
	case r.Strategy != nil && r.Strategy.plan.Recreate && r.Daemon:
		c.against("strategy", "daemon", explain.Errorf("a DaemonSet does not support recreate = True"))
	case r.Strategy != nil && r.Daemon:
		c.daemonStrategy(r.Strategy.plan)
	}
	c.enough(a)
}

// daemonStrategy checks the strategy of a DaemonSet, which has one more pod of a node or
// one less while it replaces them, and one less if nothing is given.
func (c *Call) daemonStrategy(s plan.Strategy) {
	more := s.Surge != "" && strings.Trim(s.Surge, "%") != "0"
	switch less := strings.Trim(s.Unavailable, "%") != "0"; {
	case more && less:
		c.against("strategy", "daemon", explain.Errorf("a DaemonSet starts the new pod of a node before the old one ends, or after it").
			WithHint("add unavailable = 0 to surge =, or leave out surge ="))
	case !more && !less:
		c.against("strategy", "daemon", explain.Errorf("pods can only be replaced if there may be more or fewer of them meanwhile").WithHint("add surge = 1"))
	}
}

// enough checks that what the arguments count on is given.
func (c *Call) enough(a *common) {
	if s := a.Autoscale; s != nil && a.Chart == nil && c.Valid("resources") {
		asks := plan.Resources{}
		if a.Resources != nil {
			asks = a.Resources.plan
		}
		own, _ := a.Values["resources"].(map[string]any)
		requests, _ := own["requests"].(map[string]any)
		for _, of := range []struct{ name, target, asked string }{{"cpu", s.plan.CPU, asks.CPU}, {"memory", s.plan.Memory, asks.Memory}} {
			if strings.HasSuffix(of.target, "%") && of.asked == "" && requests[of.name] == nil {
				example := map[string]string{"cpu": "100m", "memory": "128Mi"}[of.name]
				c.wrong("autoscale", explain.Errorf("%s is a percentage of the container's request, and the container has none", of.name).
					WithHint("add resources = resources(%s = %q)", of.name, example))
			}
		}
	}
	if d := a.Disruption; d != nil && !a.Daemon {
		pods, param := a.Replicas, "replicas"
		if a.Autoscale != nil {
			pods, param = a.Autoscale.plan.Max, "autoscale"
		}
		if n, ok := decimal(d.plan.MinAvailable); ok && n <= maxPods && n > pods && c.Valid("replicas") && a.Values["replicas"] == nil {
			c.against("disruption", param, explain.Errorf("%d pods must stay available, but there are at most %d", n, pods))
		}
	}
}

// against reports p about the argument of a parameter that another one contradicts.
func (c *Call) against(param, other string, p *explain.Error) {
	if !c.Valid(param) || !c.Valid(other) {
		return
	}
	var related []plan.Related
	if c.Given(other) {
		related = append(related, c.givenHere(other))
	}
	c.rejectAt(param, p, related...)
}

// cronArgs are the parameters of a job with a schedule.
type cronArgs struct {
	TimeZone    string       `arg:"time_zone,kw" default:"None" only:"generated scheduled" help:"of schedule=, such as \"Europe/Berlin\"; that of the cluster if not given"`
	Concurrency string       `arg:"concurrency,kw" default:"None" only:"generated scheduled" choices:"Forbid|Allow|Replace" help:"what happens when it is due and still runs: Forbid skips it, Allow starts it, Replace ends the other first; Forbid if not given"`
	History     *int         `arg:"history,kw" default:"None" only:"generated scheduled" help:"how many succeeded and how many failed Jobs are kept; 3 and 1 if not given"`
	Deadline    *durationArg `arg:"deadline,kw" default:"None" only:"generated scheduled" help:"how late it may start, in whole seconds; any time if not given"`
}

// isTimeZone reports whether s is a time zone of the IANA, of the machine's database or the one
// in this program, as Kubernetes checks it. Names begin with a capital letter, with a slash
// between them, and consist of words with one of "_+-" between them.
func isTimeZone(s string) bool {
	for name := range strings.SplitSeq(s, "/") {
		for word := range strings.SplitSeq(strings.NewReplacer("_", "/", "+", "/", "-", "/").Replace(name), "/") {
			if !alphanumeric.fits(word) {
				return false
			}
		}
		if name[0] < 'A' || name[0] > 'Z' {
			return false
		}
	}
	_, err := time.LoadLocation(s)
	return err == nil && s != "Local"
}

// cron checks the options of a schedule.
func (c *Call) cron(schedule string, a *cronArgs) plan.Cron {
	if schedule == "" && c.Valid("schedule") {
		for _, param := range c.givenOnly("scheduled") {
			c.wrong(param, explain.Errorf("only a job with a schedule can have it").WithHint(`add schedule = "0 3 * * *"`))
		}
	}
	if a.TimeZone != "" && !isTimeZone(a.TimeZone) {
		c.wrong("time_zone", explain.Errorf("%q is not a valid time zone", explain.Clip(a.TimeZone)).WithHint(`write a name of the IANA time zone database, such as "Europe/Berlin" or "Etc/UTC"`))
	}
	if a.Concurrency != "" {
		c.wrong("concurrency", c.choice("concurrency", a.Concurrency))
	}
	if a.History != nil && (*a.History < 0 || *a.History > 1000) {
		c.wrong("history", explain.Errorf("want 0 to 1000, got %d", *a.History))
	}
	return plan.Cron{TimeZone: a.TimeZone, Concurrency: a.Concurrency, History: a.History, Deadline: c.whole("deadline", a.Deadline)}
}
