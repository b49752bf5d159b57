package initialize

import (
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// disk reports whether several services mount the named volume.
func (p *project) disk(source string) bool { return slices.Contains(p.disks, source) }

// share makes a named volume a disk, also for the services that mount it already.
func (p *project) share(source string) {
	if p.disk(source) || label(source, plan.MaxVolumeName) == "" {
		return
	}
	p.disks = append(p.disks, source)
	for _, s := range p.services {
		for i := range s.volumes {
			s.volumes[i].disk = s.volumes[i].disk || s.volumes[i].source == source
		}
	}
}

// exclusive reports whether the pods of only one node can mount it.
func (v volume) exclusive() bool { return !v.disk && !v.scratch }

// scratch adds an empty directory.
func (s *service) scratch(at, size string, memory bool) {
	if !builtins.IsMountPath(at) {
		s.note("the empty directory at %s was left out.", quoted(at))
		return
	}
	if !slices.ContainsFunc(s.volumes, func(v volume) bool { return v.path == at }) {
		s.volumes = append(s.volumes, volume{path: at, size: size, scratch: true, memory: memory})
	}
}

// writeDisks declares the disks.
func (w *writer) writeDisks(p *project) {
	for _, source := range p.disks {
		w.comment("", "Several services mount it, so its storage class must support ReadWriteMany. The size is a guess.")
		w.WriteString(w.disks[source] + " = disk(" + str(label(source, plan.MaxVolumeName)) + ", size = " + str(volumeSize) + ", access = \"ReadWriteMany\")\n\n")
	}
}

// volume formats a volume.
func (w *writer) volume(v volume) string {
	var args []pair
	if v.size != "" && !v.disk {
		args = append(args, pair{"size", v.size})
	}
	if v.name != "" {
		args = append(args, pair{"name", v.name})
	}
	function := "volume("
	switch {
	case v.disk:
		return w.disks[v.source] + ".at(" + str(v.path) + ")"
	case v.scratch:
		function = "scratch("
	}
	text := []string{str(v.path)}
	if len(args) > 0 {
		text = append(text, named(args))
	}
	if v.memory {
		text = append(text, "memory = True")
	}
	return function + strings.Join(text, ", ") + ")"
}
