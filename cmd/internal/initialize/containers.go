package initialize

import (
	"cmp"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinefile/pipe/plan"
)

// containers adds the containers of a pod besides the first.
func (c *cluster) containers(w *workload) {
	s := w.service
	for _, of := range w.pod.InitContainers {
		if of.RestartPolicy != nil && *of.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			s.sidecars = append(s.sidecars, c.container(w, of, true))
		} else {
			s.init = append(s.init, c.container(w, of, false))
		}
	}
	for _, of := range w.pod.Containers[1:] {
		if s.kind == plan.Job {
			s.note("the container %s is a sidecar: the job ends without waiting for it.", quoted(of.Name))
		}
		s.sidecars = append(s.sidecars, c.container(w, of, true))
	}
}

// container converts a container to a service with only the fields that containers have.
func (c *cluster) container(w *workload, of corev1.Container, sidecar bool) *service {
	s := w.service
	name := label(of.Name, plan.MaxName)
	for name == "" || name == label(s.name, maxServiceName) || slices.ContainsFunc(slices.Concat(s.init, s.sidecars), func(o *service) bool { return o.name == name }) {
		name = strings.TrimPrefix(name+"-2", "-")
	}
	out := &service{name: name, kind: plan.Container, command: of.Command, arguments: of.Args}
	if secretIn(out.command) || secretIn(out.arguments) {
		out.command, out.arguments = nil, nil
		out.note("command and args were left out, because they seem to contain a secret.")
	}
	c.image(out, of.Image)
	c.env(out, of)
	c.resources(out, of)
	if sidecar {
		c.ports(out, of)
		for _, p := range out.ports {
			if s.kind != plan.Job && !slices.ContainsFunc(s.ports, func(o port) bool { return o.number == p.number || o.name != "" && o.name == p.name }) {
				s.ports = append(s.ports, p)
			}
		}
		c.probes(out, of)
		if h := out.health; h != nil && h.kind != "command" && h.port == 0 {
			out.health = nil
			out.note("its readinessProbe has an unknown port: set health = ….")
		}
		for _, a := range out.running {
			out.note("its check was left out: a sidecar has no parameter %s=.", a.name)
		}
	}
	for _, m := range of.VolumeMounts {
		at := path.Clean("/" + m.MountPath)
		same := slices.ContainsFunc(w.pod.Containers[0].VolumeMounts, func(o corev1.VolumeMount) bool {
			return o.Name == m.Name && path.Clean("/"+o.MountPath) == at && o.SubPath == m.SubPath
		})
		if same && s.mounted(at) {
			out.mounts = append(out.mounts, at)
		} else {
			out.note("the volume at %s was left out: mounts = [%s] requires a volume of the service at the same path.", quoted(at), str(at))
		}
	}
	if out.latest != "" {
		s.latest = cmp.Or(s.latest, out.latest)
	}
	for _, n := range out.notes {
		s.note("container %s: %s", quoted(name), n)
	}
	return out
}

// mounted reports whether the service has files or a volume at a path.
func (s *service) mounted(at string) bool {
	return slices.ContainsFunc(s.volumes, func(v volume) bool { return v.path == at }) ||
		slices.ContainsFunc(s.files, func(f podFile) bool { return f.path == at })
}

// container returns a function that writes a call of sidecar or init.
func (w *writer) container(function string) func(*service) string {
	return func(s *service) string {
		args := []string{str(s.name)}
		add := func(has bool, name, value string) {
			if has {
				args = append(args, name+" = "+value)
			}
		}
		add(s.source != "", "source", "local("+str(s.source)+")")
		add(s.source == "" && s.image != "", "image", str(s.image))
		add(len(s.command) > 0, "command", strs(s.command))
		add(len(s.arguments) > 0, "args", strs(s.arguments))
		if len(s.env) > 0 {
			var env []string
			for _, v := range s.env {
				env = append(env, str(v.name)+": "+w.value(v))
			}
			add(true, "env", "{"+strings.Join(env, ", ")+"}")
		}
		add(len(s.resources) > 0, "resources", "resources("+named(s.resources)+")")
		if s.health != nil {
			add(true, "health", s.health.text())
		}
		add(len(s.mounts) > 0, "mounts", strs(s.mounts))
		return function + "(" + strings.Join(args, ", ") + ")"
	}
}
