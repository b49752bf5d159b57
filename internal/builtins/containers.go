package builtins

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// podContainers are the parameters for the containers that the pods of a service have
// besides the first one.
type podContainers struct {
	Init     []*InitContainer `arg:"init,kw" default:"[]" only:"generated" help:"containers that run to their end, one after the other, before the service starts"`
	Sidecars []*Sidecar       `arg:"sidecars,kw" default:"[]" only:"generated" help:"containers that run beside the service, in its pods"`
}

// A container is a container of a pod that is not its first one.
type container struct {
	opaque
	plan  plan.PodContainer
	image *Image // nil: that of the service
}

// A Sidecar is the value of sidecar().
type Sidecar struct{ container }

// String returns the call that makes it, without its other arguments.
func (s *Sidecar) String() string { return "sidecar(" + strconv.Quote(s.plan.Name) + ")" }

// Type returns "sidecar".
func (s *Sidecar) Type() string { return "sidecar" }

// Instead says where a sidecar can be used.
func (s *Sidecar) Instead(string) string { return "a sidecar goes into sidecars = […] of a service" }

// An InitContainer is the value of init().
type InitContainer struct{ container }

// String returns the call that makes it, without its other arguments.
func (i *InitContainer) String() string { return "init(" + strconv.Quote(i.plan.Name) + ")" }

// Type returns "init".
func (i *InitContainer) Type() string { return "init" }

// Instead says where an init container can be used.
func (i *InitContainer) Instead(string) string {
	return "an init container goes into init = […] of a service"
}

// containerParams are the parameters of all containers.
type containerParams struct {
	Name   string       `arg:"name" help:"unique in the service, and not its name"`
	Image  imageArg     `arg:"image,kw" default:"None" help:"an image that exists, or the image of another service; that of the service itself if neither image, source nor build is given"`
	Mirror bool         `arg:"mirror,kw" default:"True" help:"copy the image into the pipeline's registry and deploy it from there"`
	Source *sourceValue `arg:"source,kw" default:"None" help:"what it is built from"`
	Build  *Build       `arg:"build,kw" default:"None" help:"how it is built; by the Dockerfile of the source if not given"`
	process
	Resources *Resources `arg:"resources,kw" default:"None" help:"its resource requests and limits"`
	Mounts    []string   `arg:"mounts,kw" default:"[]" help:"paths where the service has files or volumes: the container has the same ones there"`
}

type sidecarArgs struct {
	containerParams
	Health *Health `arg:"health,kw" default:"None" help:"how to check that it is ready; the service starts after that"`
}

var sidecarFunc = declare("sidecar", "sidecar", "Describes a container that runs beside a service, in its pods: they share the network and what `mounts=` names.",
	func(c *Call, a *sidecarArgs) (starlark.Value, error) {
		s := &Sidecar{c.container(&a.containerParams)}
		if a.Health != nil {
			h := a.Health.plan
			if h.Kind != plan.HealthCommand && h.Port == 0 {
				c.wrong("health", explain.Errorf("does not name the port to check").WithHint("write, for example, %s", map[plan.HealthKind]string{
					plan.HealthHTTP: `http("/ready", port = 9901)`, plan.HealthTCP: "tcp(9901)", plan.HealthGRPC: "grpc(9901)",
				}[h.Kind]))
			}
			s.plan.Health = &h
		}
		return s, nil
	})

type initArgs struct{ containerParams }

var initFunc = declare("init", "init", "Describes a container that runs to its end before a service starts, in each of its pods.",
	func(c *Call, a *initArgs) (starlark.Value, error) {
		return &InitContainer{c.container(&a.containerParams)}, nil
	})

func (c *Call) container(a *containerParams) container {
	if c.Valid("name") {
		c.wrong("name", checkName(a.Name, plan.MaxName))
	}
	if i := slices.IndexFunc(a.Mounts, func(p string) bool { return !path.IsAbs(p) }); i >= 0 {
		c.wrong("mounts", explain.Errorf("%q is not an absolute path in the container", explain.Clip(a.Mounts[i])).In(i))
	}
	for i, p := range a.Mounts {
		a.Mounts[i] = path.Clean(p)
	}
	out := container{plan: plan.PodContainer{
		Name: a.Name, Command: a.Command, Args: a.Args, Env: joinEnv(c, a.Env, a.Secrets), Mounts: a.Mounts, Pos: c.Pos(),
	}}
	c.expansions(a.Env)
	if a.Resources != nil {
		r := a.Resources.plan
		out.plan.Resources = &r
	}
	out.image = c.containerImage(a)
	return out
}

// containerImage returns the image of a container; nil: that of the service.
func (c *Call) containerImage(a *containerParams) *Image {
	has := a.Image.from != nil || a.Image.ref != ""
	for _, param := range []string{"source", "build"} {
		given := param == "source" && a.Source != nil || param == "build" && a.Build != nil
		if has && given {
			c.wrong(param, explain.Errorf("cannot be combined with image=, which names an image that exists"))
			return nil
		}
	}
	if !a.Mirror && a.Image.ref == "" {
		c.wrong("mirror", explain.Errorf("only an image that is given by its reference can be left out of mirroring"))
		return nil
	}
	switch {
	case a.Image.from != nil:
		return a.Image.from
	case has && a.Mirror:
		return &Image{Mirror: a.Image.ref}
	case has:
		return &Image{Ref: a.Image.ref}
	case (a.Source != nil || a.Build != nil) && c.Valid("source") && c.Valid("build"):
		return c.buildImage(a.Source, a.Build)
	}
	return nil
}

// containers adds the containers of a service that is otherwise complete.
func (c *Call) containers(s *Service, a *podContainers) {
	n := len(a.Init) + len(a.Sidecars)
	if n == 0 || s.Plan.Chart != nil {
		return
	}
	w := &s.Plan.Workload
	add := func(param string, i int, of *container, what string) plan.PodContainer {
		_ = c.Session.Meter.Charge(portSize * uint64(1+len(of.plan.Env)+len(of.plan.Args)+len(of.plan.Mounts)))
		c.containerName(s, param, i, of, what)
		c.containerMounts(s, param, i, of, what)
		image := of.image
		if image == nil {
			image = s.Image
		}
		if image != nil {
			if image.Owner == nil {
				image.Owner = s
			}
			s.Images = append(s.Images, NamedImage{of.plan.Name, image})
		}
		return of.plan
	}
	for i, of := range a.Init {
		w.Init = append(w.Init, add("init", i, &of.container, "init container"))
	}
	for i, of := range a.Sidecars {
		w.Sidecars = append(w.Sidecars, add("sidecars", i, &of.container, "sidecar"))
	}
}

// containerName checks that a name is unique in the pods of s: the first container has the
// name of the service.
func (c *Call) containerName(s *Service, param string, i int, of *container, what string) {
	reject := func(p *explain.Error, related plan.Related) {
		c.rejectAt(param, p.In(i).WithHint("give one of them another name"), related, of.declaredHere(what))
	}
	if of.plan.Name == s.Plan.Name {
		reject(explain.Errorf("the %s has the name of the service, %q, which is the name of its first container", what, s.Plan.Name),
			plan.Related{Pos: c.ArgPos("name", nil), Message: "the service has it here"})
		return
	}
	for other, has := range s.Plan.Workload.PodContainers.All() {
		if has.Name == of.plan.Name {
			owner := "another " + other
			if other != what {
				owner = "an " + other
			}
			reject(explain.Errorf("the name %q is that of %s", has.Name, owner), plan.Related{Pos: has.Pos, Message: "it is declared here"})
			return
		}
	}
}

// declaredHere refers to the declaration of the container, which is a what.
func (c *container) declaredHere(what string) plan.Related {
	return plan.Related{Pos: c.plan.Pos, Message: "this " + what + " is declared here"}
}

// containerMounts checks that the service has something at the paths of mounts=.
func (c *Call) containerMounts(s *Service, param string, i int, of *container, what string) {
	if len(of.plan.Mounts) == 0 || !c.Valid("volumes") || !c.Valid("files") {
		return
	}
	has := mountPaths(&s.Plan.Workload)
	for _, p := range of.plan.Mounts {
		if slices.Contains(has, p) {
			continue
		}
		e := explain.Errorf("the %s %s mounts %q, but the service has nothing at that path", what, of.plan.Name, explain.Clip(p)).In(i)
		if len(has) == 0 {
			e = e.WithHint("give the service files = {…} or volumes = […]")
		} else {
			e = e.Near(p, has, "it has "+strings.Join(has, ", "))
		}
		c.rejectAt(param, e, of.declaredHere(what))
		return
	}
}

// mountPaths returns the paths at which something is mounted into the first container.
func mountPaths(w *plan.Workload) []string {
	var paths []string
	for _, v := range w.Volumes {
		paths = append(paths, v.Path)
	}
	for _, m := range w.Mounts {
		paths = append(paths, m.Path)
	}
	for _, s := range w.Scratch {
		paths = append(paths, s.Path)
	}
	for _, f := range w.Files {
		p := f.Path
		if f.Dir != "" {
			p = f.Dir
		}
		if !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	if w.Database != nil {
		if e, _ := chartspec.EngineNamed(w.Database.Engine); e.Path != "" && !slices.Contains(paths, e.Path) {
			paths = append(paths, e.Path)
		}
	}
	return paths
}
