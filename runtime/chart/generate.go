package chart

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"

	goyaml "go.yaml.in/yaml/v2"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/plan"
)

// version is the version of generated charts. No pod contains it, so that a new
// version does not restart anything by itself.
const version = "0.1.0"

//go:embed all:files
var files embed.FS

// A KeyOf returns the Kubernetes Secret, and the key in it, for a reference to a
// secret.
type KeyOf func(plan.SecretRef) (secret, key string)

// values is the content of the values.yaml of a generated chart.
type values struct {
	Name           string
	Replicas       int
	Command, Args  []string
	Env            []envVar
	Ports          []port
	Health         *health
	Liveness       *health
	Startup        *health
	StartupSeconds int
	Job            *job
	Volumes        []volume
	Resources      map[string]map[string]string
	Labels         map[string]string

	PodSecurityContext map[string]any
	GraceSeconds       int

	fileValues
	containerValues
	patchValues
	otherVolumes
	running
}

type envVar struct {
	Name   string     `json:"name"`
	Value  string     `json:"value,omitempty"`
	Secret *secretKey `json:"secret,omitempty"`
	Config *secretKey `json:"config,omitempty"`
	Field  string     `json:"field,omitempty"`
}

type secretKey struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

type job struct {
	Schedule string `json:"schedule,omitempty"`
	Retries  int    `json:"retries"`
	Seconds  int64  `json:"seconds"`
	cron
}

// loadFiles returns the chart that consists of the files of generate.
func loadFiles(s plan.Service, list []*chart.File) (*chart.Chart, error) {
	buffered := make([]*loader.BufferedFile, len(list))
	for i, f := range list {
		buffered[i] = &loader.BufferedFile{Name: f.Name, Data: f.Data}
	}
	c, err := loader.LoadFiles(buffered)
	if err != nil {
		return nil, fmt.Errorf("generate a chart for %s: %w", s.Name, err)
	}
	return c, nil
}

// A generator generates charts. What all of them are made from is prepared when the first
// one is generated, because most commands need none.
type generator struct {
	schema func() []byte                      // the JSON Schema of the values
	values func() (*template.Template, error) // of values.yaml
}

func newGenerator() *generator {
	return &generator{sync.OnceValue(chartspec.Schema), sync.OnceValues(func() (*template.Template, error) {
		return template.New("values.yaml.tmpl").Funcs(template.FuncMap{"yaml": entry}).ParseFS(files, "files/values.yaml.tmpl")
	})}
}

// generate returns the files, sorted by name, of the generated chart of a service
// (D1). Its values.yaml contains the whole workload of the service, so
// that the team can take over the chart; see [Write].
func (g *generator) generate(s plan.Service, keyOf KeyOf) ([]*chart.File, error) {
	meta := chart.Metadata{
		APIVersion:  chart.APIVersionV2,
		Name:        s.Name,
		Version:     version,
		Type:        "application",
		Description: description(s),
	}
	if d := s.Workload.Database; d != nil {
		meta.AppVersion = d.Version
	}
	head, err := yaml.Marshal(meta)
	if err != nil {
		return nil, err
	}
	settings := newValues(s, keyOf)
	if err := settings.patches(s); err != nil {
		return nil, err
	}
	vals, err := g.valuesFile(settings)
	if err != nil {
		return nil, err
	}
	list := []*chart.File{{Name: "Chart.yaml", Data: head}, {Name: "values.yaml", Data: vals}}
	for _, name := range templates(s) {
		data, err := fs.ReadFile(files, path.Join("files", name))
		if err != nil {
			return nil, err
		}
		list = append(list, &chart.File{Name: name, Data: data})
	}
	if len(s.Workload.Patches.Patches) > 0 {
		list = patched(list)
	}
	return append(list, &chart.File{Name: "values.schema.json", Data: g.schema()}), nil
}

func description(s plan.Service) string {
	switch {
	case s.Workload.Database != nil:
		return fmt.Sprintf("the %s database %s", s.Workload.Database.Engine, s.Name)
	case s.Workload.Job != nil:
		return "the job " + s.Name
	}
	return "the service " + s.Name
}

// templates lists the templates that a service needs: templates of other types
// would only be dead weight in each release and in an ejected chart.
func templates(s plan.Service) []string {
	names := []string{"_helpers.tpl", "_pod.tpl", "serviceaccount.yaml", "volumes.yaml", strings.ToLower(s.Workload.Kind()) + ".yaml"}
	if s.Workload.Job == nil {
		names = append(names, "service.yaml", "ingress.yaml", "NOTES.txt")
	}
	if len(s.Workload.Mounts)+len(s.Workload.Scratch) > 0 {
		names = append(names, "_volumes.tpl")
	}
	if len(s.Workload.Files) > 0 {
		names = append(names, "_files.tpl", "files.yaml")
	}
	if s.Workload.Init != nil || s.Workload.Sidecars != nil {
		names = append(names, "_containers.tpl")
	}
	names = append(names, runningTemplates(&s.Workload)...)
	if s.Workload.Liveness != nil || s.Workload.Startup != nil {
		names = append(names, "_probes.tpl")
	}
	if len(s.Workload.Patches.Patches) > 0 {
		names = append(names, "_patch.tpl", "patched.yaml")
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = "templates/" + name
	}
	return names
}

// Defaults of a service.
const (
	startupSeconds = 600
	// volumeGroup owns volumes, so that an image that does not run as root can
	// write to them. No image has a user of this group by itself.
	volumeGroup = 65532
)

func newValues(s plan.Service, keyOf KeyOf) *values {
	w := s.Workload
	v := &values{
		Name:               s.Name,
		Replicas:           w.Replicas,
		Command:            w.Command,
		Args:               w.Args,
		Labels:             w.Labels,
		Resources:          resources(w.Resources),
		StartupSeconds:     max(startupSeconds, seconds(s.Timeout)),
		GraceSeconds:       30,
		running:            newRunning(&w),
		PodSecurityContext: map[string]any{"seccompProfile": map[string]any{"type": "RuntimeDefault"}},
	}
	v.Env = newEnv(w.Env, keyOf)
	for _, p := range w.Ports {
		v.Ports = append(v.Ports, newPort(p, keyOf))
	}
	v.Health, v.Liveness, v.Startup = newHealth(w.Health), newHealth(w.Liveness), newHealth(w.Startup)
	ownVolumes := v.volumes(w)
	v.containers(s, keyOf)
	if j := w.Job; j != nil {
		v.Job = &job{j.Schedule, j.Retries, int64(seconds(s.Timeout)), newCron(j.Cron)}
	}
	if w.Database != nil {
		v.GraceSeconds = 60
	}
	if w.Termination != 0 {
		v.GraceSeconds = seconds(w.Termination)
	}
	group := v.files(w, keyOf)
	switch {
	case w.Database != nil:
		v.database(s)
	case ownVolumes || group:
		v.PodSecurityContext["fsGroup"] = volumeGroup
		v.PodSecurityContext["fsGroupChangePolicy"] = "OnRootMismatch"
	}
	return v
}

func newEnv(list []plan.EnvVar, keyOf KeyOf) []envVar {
	var out []envVar
	for _, e := range list {
		v := envVar{Name: e.Name, Value: e.Value}
		if e.Secret != nil {
			name, key := keyOf(*e.Secret)
			v.Secret = &secretKey{name, key}
		}
		if e.Config != nil {
			v.Config = &secretKey{e.Config.Name, e.Config.Key}
		}
		v.Field = e.Field
		out = append(out, v)
	}
	return out
}

// seconds returns d in whole seconds, at least one.
func seconds(d plan.Duration) int {
	return max(1, int(math.Ceil(time.Duration(d).Seconds())))
}

func resources(r *plan.Resources) map[string]map[string]string {
	if r == nil {
		return nil
	}
	out := map[string]map[string]string{}
	set := func(kind, name, quantity string) {
		if quantity == "" {
			return
		}
		if out[kind] == nil {
			out[kind] = map[string]string{}
		}
		out[kind][name] = quantity
	}
	set("requests", "cpu", r.CPU)
	set("requests", "memory", r.Memory)
	set("limits", "cpu", r.CPULimit)
	set("limits", "memory", r.MemoryLimit)
	return out
}

// valuesFile returns values.yaml.
func (g *generator) valuesFile(v *values) ([]byte, error) {
	t, err := g.values()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// entry formats one entry of values.yaml. Empty values are written as an empty
// map or list, so that a reader sees the type.
func entry(name string, value any) (string, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	if text := string(data); text == "null" {
		empty := "{}"
		switch value.(type) {
		case []string, []envVar, []port, []volume:
			empty = "[]"
		}
		return name + ": " + empty + "\n", nil
	} else if _, isNumber := value.(int); isNumber {
		return name + ": " + text + "\n", nil
	}
	tree, err := decoded(data)
	if err != nil {
		return "", err
	}
	data, err = goyaml.Marshal(map[string]any{name: tree})
	return string(data), err
}

// decoded returns the value of JSON, with integers as integers. A parser of YAML returns the same,
// but takes three times as long.
func decoded(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return numbers(v)
}

// numbers replaces each json.Number in v with an integer, or with a float if it is not an integer.
func numbers(v any) (_ any, err error) {
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			if v[key], err = numbers(item); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, item := range v {
			if v[i], err = numbers(item); err != nil {
				return nil, err
			}
		}
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return n, nil
		}
		return v.Float64()
	}
	return v, nil
}
