package builtins

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// serviceName is the parameter for the name of a service.
type serviceName struct {
	Name string `arg:"name" help:"unique in the pipeline, a DNS label of at most 53 characters"`
}

// staged are the parameters that place a service in the pipeline.
type staged struct {
	Stage StageRef `arg:"stage,kw" default:"None" help:"the stage of the service; the stage of the rule for its type if not given"`
	Skip  bool     `arg:"skip,kw" default:"False" help:"leave the service out of actions on the environment"`
}

// common are the parameters of all types of services whose charts pipe can generate. Tags
// of their fields say more about them:
//
//   - only: which services have the parameter, as words; see [Call.givenOnly].
//   - sets: the keys of a generated chart's values that it sets, see [Call.overridden].
//     Keys that values= cannot set are in package chartspec.
//   - empty: "means" if an empty list is not the same as none.
type common struct {
	staged
	Chart  *Chart      `arg:"chart,kw" default:"None" help:"a Helm chart; generated if not given"`
	Values chartValues `arg:"values,kw" default:"{}" help:"values for the chart, over its own"`
	Ports  []portArg   `arg:"ports,kw" default:"[]" sets:"ports" help:"the ports it listens on; .port and .url use the first one"`
	process
	Replicas  int        `arg:"replicas,kw" default:"1" only:"generated" sets:"replicas" help:"how many pods"`
	Resources *Resources `arg:"resources,kw" default:"None" only:"generated" help:"its resource requests and limits"`
	Health    *Health    `arg:"health,kw" default:"None" only:"generated" sets:"health" help:"how to check that it is ready"`
	Volumes   []*Volume  `arg:"volumes,kw" default:"[]" only:"generated" sets:"volumes" help:"storage that outlives pods"`
	podFiles
	podContainers
	objectPatches
	Labels map[string]string `arg:"labels,kw" default:"{}" only:"generated" help:"for its Kubernetes objects"`
	existing
	probesArgs
	runningArgs
}

// process are the parameters for what runs in a container. env= and secrets= are not only
// for generated charts: a chart gets a digest of the secrets, see [Call.ineffective].
type process struct {
	Env     envArg     `arg:"env,kw" default:"{}" sets:"env" help:"environment variables"`
	Secrets secretsArg `arg:"secrets,kw" default:"{}" sets:"env" help:"environment variables that are secrets, or names of secrets"`
	Command []string   `arg:"command,kw" default:"None" only:"generated" sets:"command" help:"replaces the entry point of the image"`
	Args    []string   `arg:"args,kw" default:"None" only:"generated" sets:"args" help:"replaces the arguments of the image"`
}

// built are the parameters for the image of a service that can be built.
type built struct {
	Source *sourceValue `arg:"source,kw" default:"None" help:"what it is built from; the directory of the file if not given"`
	Build  *Build       `arg:"build,kw" default:"None" help:"how it is built; by the Dockerfile of the source if not given"`
	Image  imageArg     `arg:"image,kw" default:"None" help:"an image that exists, or the image of another service, instead of a build"`
}

type applicationArgs struct {
	serviceName
	built
	Sync []*Sync `arg:"sync,kw" default:"[]" help:"files that watch mode copies into running containers instead of building; a plain run ignores it"`
	common
	timeout5
}

type timeout5 struct {
	Timeout durationArg `arg:"timeout,kw" default:"\"5m\"" help:"how long it may take until it is ready"`
}

var applicationFunc = declare("application", "service", "Declares a service that is built from source.",
	func(c *Call, a *applicationArgs) (starlark.Value, error) {
		s := c.service(plan.Application, a.Name, &a.common, a.Timeout)
		s.Image = c.chosenImage(s, &a.built)
		c.syncs(s, a.Sync)
		c.containers(s, &a.podContainers)
		c.patches(s, a.Patch)
		return c.declared(s), nil
	})

type jobArgs struct {
	serviceName
	built
	Schedule string      `arg:"schedule,kw" default:"None" only:"generated" sets:"job.schedule" help:"when it runs, as five cron fields; once per deploy if not given"`
	On       string      `arg:"on,kw" default:"\"deploy\"" choices:"deploy|stop|delete" help:"the action that runs it: deploy, stop or delete"`
	Timeout  durationArg `arg:"timeout,kw" default:"\"10m\"" sets:"job.seconds" help:"how long it may run"`
	Retries  int         `arg:"retries,kw" default:"0" only:"generated" sets:"job.retries" help:"how often it is retried"`
	cronArgs
	common
}

var jobFunc = declare("job", "service", "Declares a service that runs to its end.",
	func(c *Call, a *jobArgs) (starlark.Value, error) {
		s := c.service(plan.Job, a.Name, &a.common, a.Timeout)
		s.Image = c.chosenImage(s, &a.built)
		if a.Schedule != "" {
			c.wrong("schedule", checkCron(a.Schedule))
		}
		c.wrong("on", c.choice("on", a.On))
		on := plan.Moment(a.On)
		if a.Schedule != "" && on != plan.OnDeploy {
			c.wrong("on", explain.Errorf("a job with a schedule runs on deploy"))
		}
		if a.Retries < 0 || a.Retries > 1000 {
			c.wrong("retries", explain.Errorf("want 0 to 1000, got %d", a.Retries))
		}
		if a.Replicas != 1 {
			c.wrong("replicas", explain.Errorf("a job runs once, so it has no replicas"))
		}
		s.Plan.Workload.Job = &plan.JobSpec{Schedule: a.Schedule, On: on, Retries: a.Retries, Cron: c.cron(a.Schedule, &a.cronArgs)}
		c.containers(s, &a.podContainers)
		c.patches(s, a.Patch)
		return c.declared(s), nil
	})

type containerArgs struct {
	serviceName
	Image  imageArg `arg:"image,kw" help:"a reference, or the image of another service"`
	Mirror bool     `arg:"mirror,kw" default:"True" help:"copy the image into the pipeline's registry and deploy it from there"`
	common
	timeout5
}

var containerFunc = declare("container", "service", "Declares a service that runs an image that exists.",
	func(c *Call, a *containerArgs) (starlark.Value, error) {
		s := c.service(plan.Container, a.Name, &a.common, a.Timeout)
		switch {
		case a.Image.from != nil:
			s.Image = a.Image.from
			if !a.Mirror {
				c.wrong("mirror", explain.Errorf("the image is that of another service, which decides whether it is mirrored"))
			}
		case a.Mirror:
			s.Image = &Image{Owner: s, Mirror: a.Image.ref}
		default:
			s.Image = &Image{Owner: s, Ref: a.Image.ref}
		}
		c.containers(s, &a.podContainers)
		c.patches(s, a.Patch)
		return c.declared(s), nil
	})

// chosenImage is the image of the application or job s: that of another service, an
// existing one, or one that is built.
func (c *Call) chosenImage(s *Service, a *built) *Image {
	if c.Given("image") && (a.Image.from != nil || a.Image.ref != "") {
		if a.Source != nil {
			c.wrong("source", explain.Errorf("cannot be combined with image=, which names an image that exists"))
		} else if a.Build != nil {
			c.wrong("build", explain.Errorf("cannot be combined with image=, which names an image that exists"))
		}
		if a.Image.from != nil {
			return a.Image.from
		}
		return &Image{Mirror: a.Image.ref}
	}
	if !c.Valid("image") || !c.Valid("source") || !c.Valid("build") {
		return nil
	}
	if s.Plan.Chart != nil && a.Source == nil && a.Build == nil {
		if !c.Given("source") && !c.Given("build") && !c.Given("image") {
			if left := c.unbuilt(); left.Dockerfile != "" {
				s.claim().Unbuilt = left
			}
		}
		return nil
	}
	return c.buildImage(a.Source, a.Build)
}

// service returns the service that a call declares, with everything that all types have
// in common.
func (c *Call) service(t plan.ServiceType, name string, a *common, timeout durationArg) *Service {
	s := c.deployable(t, name, &a.staged, timeout)
	s.Plan.Adopt = a.Adopt
	if a.Chart != nil {
		s.Plan.Values = c.fill(s, a.Values)
	} else {
		c.refuseFills(s, a.Values)
		s.Plan.Values = plan.Values(a.Values)
	}
	if a.Chart != nil {
		chart := a.Chart.plan
		s.Plan.Chart = &chart
		c.ineffective(a)
	}
	w := &s.Plan.Workload
	w.Command, w.Args, w.Replicas, w.Labels = a.Command, a.Args, a.Replicas, a.Labels
	if a.Replicas < 0 {
		c.wrong("replicas", explain.Errorf("want 0 or more, got %d", a.Replicas))
	}
	if len(a.Labels) > 0 {
		c.wrong("labels", checkLabels(a.Labels))
		c.wrong("labels", checkOwnLabels(a.Labels))
	}
	if a.Resources != nil {
		r := a.Resources.plan
		w.Resources = &r
	}
	if a.Chart == nil && c.Valid("values") {
		c.values(t, a.Values)
		if c.Valid("values") {
			c.overridden(t, a)
		}
	}
	w.Env = joinEnv(c, a.Env, a.Secrets)
	if a.Chart == nil {
		c.expansions(a.Env)
	}
	if locals := c.ports(w, a.Ports); locals != nil {
		s.claim().Locals = locals
	}
	c.exposed(t, w.Ports, a.Chart != nil)
	if mounted := c.volumes(w, a.Volumes); mounted != nil {
		s.claim().Mounted = mounted
	}
	c.files(w, a.Files)
	if a.Chart == nil {
		c.mountPoints(a)
	}
	if a.Chart == nil && t != plan.Job {
		c.oneVolume(a)
		if public := c.public(w.Ports, a.Values); public != nil {
			s.claim().Public = public
		}
		if nodePorts := c.nodePorts(w.Ports); nodePorts != nil {
			s.claim().NodePorts = nodePorts
		}
	}
	if t != plan.Job && a.Chart == nil && c.Valid("name") {
		c.wrong("name", checkServiceName(name, w.Ports))
	}
	c.probes(t, w, a.Health, &a.probesArgs)
	c.running(t, s, a)
	return s
}

// deployable returns a service with what every type has: its name, its stage and its
// timeout.
func (c *Call) deployable(t plan.ServiceType, name string, a *staged, timeout durationArg) *Service {
	if c.Valid("name") {
		c.wrong("name", checkName(name, plan.MaxServiceName))
	}
	s := &Service{
		Stage: a.Stage, Stack: c.Session.Stack(c.Thread),
		Plan: plan.Service{Name: name, Type: t, Skip: a.Skip, Timeout: plan.Duration(timeout), Pos: c.Pos()},
	}
	if len(s.Stack) > 0 && s.Stack[0].Pos != s.Plan.Pos {
		s.Plan.Caller = s.Stack[0].Pos
	}
	if !a.Stage.IsZero() {
		s.StagePos = c.ArgPos("stage", nil)
	}
	if a.Skip {
		s.Plan.SkipWhy = &plan.Reason{Text: "skip = True", Pos: c.ArgPos("skip", nil)}
	}
	return s
}

// values checks the values for a generated chart.
func (c *Call) values(t plan.ServiceType, values map[string]any) {
	if len(values) == 0 {
		return
	}
	kind := chartspec.Service
	if t == plan.Job {
		kind = chartspec.Job
	}
	for _, found := range chartspec.Check(kind, values) {
		c.wrongField("values", found, "; for more, write patch = patch(…)")
	}
}

// wrongField reports an error in a field of a generated chart or of its objects. more
// follows the list of the known names.
func (c *Call) wrongField(param string, found chartspec.Problem, more string) {
	p := &explain.Error{Msg: found.Message, At: found.Path}
	if found.Unknown {
		name := found.Part
		if name == "" {
			last := len(found.Path) - 1
			name = found.Path[last].(string)
			p.At = append(slices.Clone(found.Path[:last]), explain.Key(name))
		}
		p = p.Near(name, found.Known, "it has "+strings.Join(found.Known, ", ")+more)
	}
	if found.Argument != "" {
		p = p.WithHint("write %s = …, and leave it out of values=", found.Argument)
	}
	c.rejectAt(param, p)
}

// checkServiceName checks a name for the Kubernetes Service that a generated chart has
// if there are ports: unlike other names, it must begin with a letter (RFC 1035).
func checkServiceName(name string, ports []plan.Port) *explain.Error {
	if len(ports) == 0 || name[0] < '0' || name[0] > '9' {
		return nil
	}
	return explain.Errorf("%q must begin with a letter: the service has ports, and its Kubernetes Service has the same name", explain.Clip(name)).
		WithHint("write, for example, %q", "s"+name[:min(len(name), plan.MaxServiceName-1)])
}

// unbuilt returns the Dockerfile next to the file of the call, for a service that has a
// chart and sets neither an image nor a source.
func (c *Call) unbuilt() Unbuilt {
	dockerfile, p := c.resolve("Dockerfile")
	if p != nil || !c.Session.Files.isFile(dockerfile) {
		if p == nil {
			c.Session.Files.note(dockerfile, plan.InputDockerfile, "")
		}
		return Unbuilt{}
	}
	if _, err := c.Session.Files.Read(dockerfile, plan.InputDockerfile); err != nil {
		return Unbuilt{}
	}
	return Unbuilt{dockerfile, c.ArgPos("chart", nil)}
}

// portList lists ports; if there are many, only the first ones.
func portList(ports []plan.Port) string {
	const maxListed = 20
	names := make([]string, 0, maxListed)
	for _, p := range ports[:min(len(ports), maxListed)] {
		names = append(names, strconv.Itoa(p.Number))
	}
	if n := len(ports) - maxListed; n > 0 {
		names = append(names, fmt.Sprintf("%d more", n))
	}
	return strings.Join(names, ", ")
}

// declared records s, unless its name is invalid or taken.
func (c *Call) declared(s *Service) *Service {
	if s.Image != nil && s.Image.Owner == nil {
		s.Image.Owner = s
	}
	if !c.Valid("name") {
		return s
	}
	if first := c.Session.names[s.Plan.Name]; first != nil {
		related := plan.Related{Pos: first.Plan.Pos, Message: "declared here"}
		if len(first.Stack) > 0 {
			related.Message += ", by the call at " + first.Stack[0].Pos.String()
		}
		c.reject(s.Plan.Pos, explain.Errorf("service %q is already declared", s.Plan.Name), related)
		return s
	}
	c.Session.names[s.Plan.Name] = s
	c.Session.Services = append(c.Session.Services, s)
	return s
}
