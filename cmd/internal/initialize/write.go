package initialize

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/interp/format"
	"github.com/pipelinefile/pipe/plan"
)

const width = 100 // of comments

// A writer prints a project.
type writer struct {
	strings.Builder
	names map[string]string // services that are assigned, with the names of their variables
	disks map[string]string // disks, with the names of their variables
}

// write returns the Pipelinefile of a project, formatted as by pipe fmt.
func (p *project) write(secrets []string) ([]byte, error) {
	w := &writer{names: map[string]string{}}
	w.comment("", "Written by pipe init from "+quoted(p.from)+". Edit it as you like: pipe doc NAME explains each name.")
	if len(secrets) > 0 {
		w.comment("", "Values of secrets were not copied. Pass the values of "+strings.Join(quotedAll(secrets), ", ")+" with pipe run --secrets FILE, with lines NAME=VALUE, or create the Kubernetes Secrets yourself.")
	}
	for _, s := range p.supply {
		w.comment("", s)
	}
	for _, a := range p.about {
		w.comment("", a)
	}
	for _, n := range p.notes {
		w.comment("", "TODO: "+n)
	}
	namespace := ""
	if p.namespace != "" {
		namespace = ", namespace = " + str(p.namespace)
	}
	fmt.Fprintf(w, "pipeline(%s%s)\n\n", str(p.name), namespace)
	if stages := p.ownStages(); len(stages) > 0 {
		for _, name := range stages {
			fmt.Fprintf(w, "stage(%s)\n", str(name))
		}
		w.WriteString("\n")
	}
	w.name(p)
	w.writeDisks(p)
	for _, s := range p.sorted() {
		w.service(s)
	}
	return format.Source("Pipelinefile", []byte(w.String()))
}

// ownStages returns the stages of services that are not default stages.
func (p *project) ownStages() []string {
	byName := map[string]int{}
	for _, s := range p.services {
		if s.stage != "" && !slices.Contains(defaultStages[:], s.stage) {
			byName[s.stage] = s.stageRank
		}
	}
	return slices.SortedFunc(maps.Keys(byName), func(a, b string) int { return cmp.Compare(byName[a], byName[b]) })
}

// sorted returns the services with databases first, because other services refer to them.
func (p *project) sorted() []*service {
	out := slices.Clone(p.services)
	slices.SortStableFunc(out, func(a, b *service) int {
		rank := func(s *service) int {
			if s.kind == plan.Database {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	return out
}

// name chooses the variables of the services to which others refer.
func (w *writer) name(p *project) {
	taken := map[string]bool{}
	for _, f := range builtins.Standard() {
		name, _, _ := strings.Cut(f.Name, ".")
		taken[name] = true
	}
	for _, n := range builtins.Names() {
		name, _, _ := strings.Cut(n.Name, ".")
		taken[name] = true
	}
	for name := range starlark.Universe {
		taken[name] = true
	}
	choose := func(name, suffix string) string {
		name = strings.ReplaceAll(name, "-", "_")
		if taken[name] || !identifier(name) {
			name += suffix
		}
		for taken[name] {
			name += "_"
		}
		taken[name] = true
		return name
	}
	for _, s := range p.services {
		if s.referenced {
			w.names[s.name] = choose(s.name, "_db")
		}
	}
	w.disks = map[string]string{}
	for _, source := range p.disks {
		w.disks[source] = choose(label(source, plan.MaxVolumeName), "_disk")
	}
}

// identifier reports whether a string is a valid identifier and not a keyword.
func identifier(name string) bool {
	e, err := new(syntax.FileOptions).ParseExpr("", name, 0)
	_, ok := e.(*syntax.Ident)
	return err == nil && ok
}

var functions = map[plan.ServiceType]string{
	plan.Application: "application", plan.Container: "container", plan.Job: "job", plan.Database: "database",
	plan.Helm: "helm", plan.Manifests: "manifests",
}

func (w *writer) service(s *service) {
	if s.about != "" {
		w.comment("", s.about)
	}
	for _, n := range s.notes {
		w.comment("", "TODO: "+n)
	}
	if s.latest != "" {
		w.comment("", "lint: ignore latest-tag: "+s.latest)
	}
	if name := w.names[s.name]; name != "" {
		w.WriteString(name + " = ")
	}
	w.WriteString(functions[s.kind] + "(\n")
	fmt.Fprintf(w, "    %s,\n", str(s.name))
	for _, file := range s.manifests {
		fmt.Fprintf(w, "    %s,\n", str(file))
	}
	if s.kustomize != "" {
		fmt.Fprintf(w, "    kustomize(%s),\n", str(s.kustomize))
	}
	for _, object := range s.objects {
		fmt.Fprintf(w, "    %s,\n", literal(object, "    "))
	}
	w.image(s)
	if s.schedule != "" {
		w.arg("schedule", str(s.schedule))
	}
	if s.stage != "" {
		w.arg("stage", str(s.stage))
	}
	if s.skip {
		w.arg("skip", "True")
	} else if s.skipIf != "" {
		w.arg("skip", s.skipIf)
	}
	w.chart(s.chart)
	if s.namespace != "" {
		w.arg("namespace", str(s.namespace))
	}
	items(w, "ports", s.ports, portText)
	w.env(s.envFiles, s.env)
	w.list("command", s.command)
	w.list("args", s.arguments)
	if s.replicas > 1 || s.noReplicas {
		w.arg("replicas", strconv.Itoa(s.replicas))
	}
	if len(s.resources) > 0 {
		w.arg("resources", "resources("+named(s.resources)+")")
	}
	if s.health != nil {
		w.arg("health", s.health.text())
	}
	for _, a := range s.running {
		w.arg(a.name, a.value)
	}
	if len(s.rbac) > 0 {
		w.arg("rbac", "["+strings.Join(s.rbac, ", ")+"]")
	}
	if s.closed {
		var from []string
		for _, of := range s.network {
			from = append(from, of.name)
		}
		slices.Sort(from)
		w.arg("network", strs(from))
	}
	items(w, "volumes", s.volumes, w.volume)
	w.podFiles(s.files)
	items(w, "init", s.init, w.container("init"))
	items(w, "sidecars", s.sidecars, w.container("sidecar"))
	if s.retries > 0 {
		w.arg("retries", strconv.Itoa(s.retries))
	}
	if s.timeout != "" {
		w.arg("timeout", str(s.timeout))
	}
	if len(s.values) > 0 {
		w.arg("values", literal(s.values, "    "))
	}
	w.patch(s)
	w.WriteString(")\n\n")
}

// patch writes the patch of the pods.
func (w *writer) patch(s *service) {
	spec := maps.Clone(s.pod)
	if len(s.container) > 0 {
		if spec == nil {
			spec = map[string]any{}
		}
		container := maps.Clone(s.container)
		container["name"] = s.name
		spec["containers"] = []any{container}
	}
	if len(spec) == 0 {
		return
	}
	var runs plan.Workload
	runs.Daemon = slices.ContainsFunc(s.running, func(a pair) bool { return a.name == "daemon" })
	if s.kind == plan.Job {
		runs.Job = &plan.JobSpec{Schedule: s.schedule}
	}
	merge := map[string]any{"spec": map[string]any{"template": map[string]any{"spec": spec}}}
	if s.schedule != "" {
		merge = map[string]any{"spec": map[string]any{"jobTemplate": merge}}
	}
	w.arg("patch", "patch("+str(runs.Kind())+", merge = "+literal(merge, "    ")+")")
}

// image writes the source of the image.
func (w *writer) image(s *service) {
	switch {
	case s.kind == plan.Database:
		w.arg("engine", str(s.engine))
		w.arg("version", str(s.version))
		if s.image != "" {
			w.arg("image", str(s.image))
		}
		if s.storage != "" {
			w.arg("storage", str(s.storage))
		}
		if s.database != "" {
			w.arg("database", str(s.database))
		}
		if s.user != "" {
			w.arg("user", str(s.user))
		}
	case s.source != "":
		w.arg("source", "local("+str(s.source)+")")
		var args []string
		add := func(name, value string) {
			if value != "" {
				args = append(args, name+" = "+str(value))
			}
		}
		add("context", s.context)
		add("file", s.file)
		add("target", s.target)
		if len(s.args) > 0 {
			m := map[string]any{}
			for _, a := range s.args {
				m[a.name] = a.value
			}
			args = append(args, "args = "+literal(m, "    "))
		}
		if len(args) > 0 {
			w.arg("build", "dockerfile("+strings.Join(args, ", ")+")")
		}
	case s.image != "":
		w.arg("image", str(s.image))
	}
}

// env writes the variables. Those that are the same in an env file are read from it.
func (w *writer) env(files []envFile, env []variable) {
	has := map[string]bool{}
	for _, v := range env {
		has[v.name] = true
	}
	var parts []string
	for _, f := range files {
		all := true
		for name := range f.vars {
			all = all && has[name]
		}
		if !all { // a variable was left out
			continue
		}
		parts = append(parts, "read_env("+str(f.name)+")")
		env = slices.DeleteFunc(slices.Clone(env), func(v variable) bool {
			return v.file == f.name && v.secret == "" && v.of == "" && v.source == "" && v.text == f.vars[v.name]
		})
	}
	if len(env) > 0 {
		var b strings.Builder
		b.WriteString("{\n")
		for _, v := range env {
			fmt.Fprintf(&b, "        %s: %s,\n", str(v.name), w.value(v))
		}
		parts = append(parts, b.String()+"    }")
	}
	if len(parts) > 0 {
		w.arg("env", strings.Join(parts, " | "))
	}
}

// value returns the value of a variable.
func (w *writer) value(v variable) string {
	switch {
	case v.source != "":
		return v.source
	case v.of != "":
		return w.names[v.of] + "." + v.attr
	case v.secret != "":
		return secretText(v.secret, v.key)
	}
	return str(v.text)
}

// secretText formats a reference to a secret; the key may be empty.
func secretText(name, key string) string {
	if key == "" {
		return "secret(" + str(name) + ")"
	}
	return "secret(" + str(name) + ", key = " + str(key) + ")"
}

func portText(p port) string {
	var args []string
	if p.name != "" {
		args = append(args, "name = "+str(p.name))
	}
	if p.protocol != "" && p.protocol != "TCP" {
		args = append(args, "protocol = "+str(p.protocol))
	}
	if p.public {
		args = append(args, "public = True")
	}
	if p.host != "" {
		args = append(args, "host = "+str(p.host))
	}
	if p.path != "" {
		args = append(args, "path = "+str(p.path))
	}
	if p.service != 0 {
		args = append(args, "service = "+strconv.Itoa(p.service))
	}
	if p.kind != "" {
		args = append(args, "kind = "+str(p.kind))
	}
	if p.node != 0 {
		args = append(args, "node_port = "+strconv.Itoa(p.node))
	}
	if p.local != 0 {
		args = append(args, "local = "+strconv.Itoa(p.local))
	}
	if len(args) == 0 {
		return strconv.Itoa(p.number)
	}
	return "port(" + strconv.Itoa(p.number) + ", " + strings.Join(args, ", ") + ")"
}

func (h *health) text() string {
	var args []string
	switch {
	case h.kind == "http":
		args = append(args, str(h.path))
		if h.port != 0 {
			args = append(args, "port = "+strconv.Itoa(h.port))
		}
	case h.kind == "command":
		for _, word := range h.command {
			args = append(args, str(word))
		}
	case h.port != 0:
		args = append(args, strconv.Itoa(h.port))
	}
	if h.service != "" {
		args = append(args, "service = "+str(h.service))
	}
	if len(h.headers) > 0 {
		args = append(args, "headers = "+literal(h.headers, "    "))
	}
	for _, t := range h.times {
		args = append(args, t.name+" = "+t.value)
	}
	return h.kind + "(" + strings.Join(args, ", ") + ")"
}

func (w *writer) arg(name, value string) { fmt.Fprintf(w, "    %s = %s,\n", name, value) }

func (w *writer) list(name string, texts []string) {
	if len(texts) > 0 {
		w.arg(name, strs(texts))
	}
}

// items writes a list whose items are formatted by text.
func items[T any](w *writer, name string, list []T, text func(T) string) {
	if len(list) == 0 {
		return
	}
	var out []string
	for _, e := range list {
		out = append(out, text(e))
	}
	w.arg(name, "["+strings.Join(out, ", ")+"]")
}

// comment writes a comment, wrapped at about the width.
func (w *writer) comment(indent, text string) {
	line := indent + "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width && strings.TrimSpace(line) != "#" && !strings.HasPrefix(text, "lint:") {
			w.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	w.WriteString(line + "\n")
}
