package initialize

import (
	"fmt"
	"maps"
	"math"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/plan"
)

// volumes converts named volumes, and notes what happens to files of the host.
func (c *composer) volumes(out *service, s *types.ServiceConfig, all *types.Project) {
	for _, v := range s.Volumes {
		to := path.Clean(v.Target)
		if engine, ok := chartspec.EngineNamed(engineOf(out.image)); ok && v.Type == "bind" && to != "/" && (to == engine.Path || path.Dir(engine.Path) == to) {
			out.note("the files in %s on your machine are not copied: restore a dump.", quoted(path.Base(filepath.ToSlash(v.Source))))
			out.volumes = append(out.volumes, volume{path: to, size: volumeSize})
			continue
		}
		switch {
		case !builtins.IsVolumePath(to):
			out.note("the volume at %s was left out.", quoted(to))
		case v.Type == "volume" && v.Source != "":
			if first, ok := c.shared[v.Source]; ok && first != out.name {
				c.project.share(v.Source)
			}
			c.shared[v.Source] = out.name
			out.volumes = append(out.volumes, volume{path: to, size: volumeSize, source: v.Source, disk: c.project.disk(v.Source)})
		case v.Type == "tmpfs":
			out.volumes = append(out.volumes, volume{path: to, scratch: true, memory: true})
		case v.Type == "volume":
			out.note("the anonymous volume at %s was left out: its files are lost with the pod; volume(…) keeps them.", quoted(to))
		case v.Type == "bind" && c.fromFile(out, v.Source, to):
		case v.Type == "bind":
			from, ok := c.below(v.Source)
			if rel, err := filepath.Rel(c.dir, v.Source); !ok && err == nil {
				from = filepath.ToSlash(rel)
			}
			what := "copy the files into the image"
			if out.source != "" {
				what += "; during development, pipe run --watch with sync = [sync(…)] updates them"
			}
			out.note("%s was mounted at %s from your machine, which is not possible in a cluster: %s.", quoted(from), quoted(to), what)
		default:
			out.note("the %s at %s was left out: a pod can write to the file system of its image, unless values= makes it read-only.", quoted(v.Type), quoted(to))
		}
	}
	if len(s.Tmpfs) > 0 {
		for _, t := range s.Tmpfs {
			at, _, _ := strings.Cut(t, ":")
			out.scratch(at, "", true)
		}
	}
	if s.ShmSize > 0 {
		out.scratch("/dev/shm", bytesOf(int64(s.ShmSize)), true)
	}
	c.configs(out, s, all)
}

func (c *composer) scale(out *service, s *types.ServiceConfig) {
	n := 1
	if s.Scale != nil {
		n = *s.Scale
	}
	if s.Deploy != nil && s.Deploy.Replicas != nil {
		n = *s.Deploy.Replicas
	}
	if out.kind != plan.Job && n != 1 {
		out.replicas, out.noReplicas = max(n, 0), n < 1
		if n > 1 && slices.ContainsFunc(out.volumes, volume.exclusive) && engineOf(out.image) == "" {
			out.replicas = 0
			out.note("replicas = %d was left out: a volume belongs to one pod.", n)
		}
	}
	set := func(name, value string) {
		if value != "" && !slices.ContainsFunc(out.resources, func(p pair) bool { return p.name == name }) {
			out.resources = append(out.resources, pair{name, value})
		}
	}
	var limits, asked types.Resource
	if s.Deploy != nil {
		if r := s.Deploy.Resources.Limits; r != nil {
			limits = *r
		}
		if r := s.Deploy.Resources.Reservations; r != nil {
			asked = *r
			if len(r.Devices) > 0 {
				out.note("devices were left out: values = {\"resources\": {\"limits\": {\"nvidia.com/gpu\": 1}}} requests a GPU.")
			}
		}
	}
	limit := limits.MemoryBytes
	if limit == 0 {
		limit = s.MemLimit
	}
	reserve := asked.MemoryBytes
	if reserve == 0 {
		reserve = s.MemReservation
	}
	cpu := float64(limits.NanoCPUs)
	if cpu == 0 {
		cpu = float64(s.CPUS)
	}
	if limit > 0 && reserve > limit {
		reserve = limit
	}
	reserved := float64(asked.NanoCPUs)
	if cpu > 0 {
		reserved = min(reserved, cpu)
	}
	set("cpu", cores(reserved))
	set("memory", bytesOf(int64(reserve)))
	set("cpu_limit", cores(cpu))
	set("memory_limit", bytesOf(int64(limit)))
}

func cores(n float64) string {
	if n <= 0 || n > 1e6 {
		return ""
	}
	return strconv.Itoa(int(math.Ceil(math.Round(n*1e6)/1e3))) + "m"
}

func bytesOf(n int64) string {
	const mi, gi = 1 << 20, 1 << 30
	switch {
	case n <= 0:
		return ""
	case n%gi == 0:
		return strconv.FormatInt(n/gi, 10) + "Gi"
	}
	return strconv.FormatInt((n+mi-1)/mi, 10) + "Mi"
}

var numbers = regexp.MustCompile(`^([0-9]+)(?::([0-9]+))?$`)

func (c *composer) security(out *service, s *types.ServiceConfig) {
	if m := numbers.FindStringSubmatch(s.User); m != nil && len(m[1]) <= 9 && len(m[2]) <= 9 && engineOf(out.image) == "" {
		pod := map[string]any{}
		pod["runAsUser"], _ = strconv.Atoi(m[1])
		if m[2] != "" {
			pod["runAsGroup"], _ = strconv.Atoi(m[2])
		}
		out.value("podSecurityContext", pod)
	} else if s.User != "" {
		out.note("user %s was left out: only numbers are supported, in values = {\"podSecurityContext\": {\"runAsUser\": 1000}}.", quoted(s.User))
	}
	sec := map[string]any{}
	if s.ReadOnly {
		sec["readOnlyRootFilesystem"] = true
	}
	if s.Privileged {
		sec["privileged"], sec["allowPrivilegeEscalation"] = true, true
	}
	caps := map[string]any{}
	if len(s.CapAdd) > 0 {
		caps["add"] = anys(s.CapAdd)
	}
	if len(s.CapDrop) > 0 {
		caps["drop"] = anys(s.CapDrop)
	}
	if len(caps) > 0 {
		sec["capabilities"] = caps
	}
	if len(sec) > 0 {
		out.value("securityContext", sec)
	}
	if g := s.StopGracePeriod; g != nil && *g >= 1e9 {
		out.run("termination", str(fmt.Sprint(max(1, int64(*g)/1e9), "s")))
	}
}

func anys(list []string) []any {
	var out []any
	for _, e := range list {
		out = append(out, strings.TrimPrefix(e, "CAP_"))
	}
	return out
}

// rest notes fields that have no counterpart.
func (c *composer) rest(out *service, s *types.ServiceConfig) {
	has := map[string]bool{
		"devices": len(s.Devices) > 0, "dns": len(s.DNS) > 0, "extra_hosts": len(s.ExtraHosts) > 0, "ipc": s.Ipc != "", "pid": s.Pid != "",
		"sysctls": len(s.Sysctls) > 0, "ulimits": len(s.Ulimits) > 0, "working_dir": s.WorkingDir != "", "gpus": len(s.Gpus) > 0,
		"volumes_from": len(s.VolumesFrom) > 0, "group_add": len(s.GroupAdd) > 0, "security_opt": len(s.SecurityOpt) > 0, "post_start": len(s.PostStart) > 0,
		"pre_stop": len(s.PreStop) > 0, "platform": s.Platform != "", "models": len(s.Models) > 0, "pre_start": len(s.PreStart) > 0, "provider": s.Provider != nil,
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if has[name] {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		out.note("%s: left out, because there is no parameter for it. To set it, write the chart with pipe eject %s, change it, and use it with chart=.", strings.Join(names, ", "), label(out.name, maxServiceName))
	}
	if s.NetworkMode != "" && s.NetworkMode != "bridge" && s.NetworkMode != "default" {
		out.note("network_mode %s was left out: every service has its own pods, and reaches other services by their names.", quoted(s.NetworkMode))
	}
	for _, n := range slices.Sorted(maps.Keys(s.Networks)) {
		if conf := s.Networks[n]; conf != nil && len(conf.Aliases) > 0 {
			out.note("the aliases %s of network %s were left out: other services reach it by its name.", quotedList(conf.Aliases), quoted(n))
		}
	}
	if len(s.Labels) > 0 {
		out.note("labels %s were left out: labels = {…} sets labels of Kubernetes objects, and port(…, public = True) replaces routes of a proxy.", all(slices.Sorted(maps.Keys(s.Labels))))
	}
	if s.Develop != nil && len(s.Develop.Watch) > 0 {
		out.note("develop.watch was left out: use sync = [sync(PATH, TO)] with pipe run --watch instead.")
	}
}
