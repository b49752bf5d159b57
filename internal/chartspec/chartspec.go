// Package chartspec describes generated charts as data: the values that they accept, and
// how databases of known engines are run. The language checks a Pipelinefile against it,
// runtime/chart renders it, and docs/values.md is generated from it.
package chartspec

import (
	"encoding/json"
	"slices"
)

// A Workload is a kind of generated chart that has its own values.
type Workload int

// The workloads.
const (
	Service Workload = iota // a Deployment or a StatefulSet
	Job                     // a Job or a CronJob
)

// A Key is a key of a generated chart's values, or of an object in them.
type Key struct {
	Name     string
	Help     string // what the chart does with it, in Markdown
	Shape    Shape
	Required bool // in its object
	// Argument is the argument of a service that sets the key at the top level, so that
	// values= cannot; empty: there is none. Charts have the key only if it is set.
	Argument string
	only     []Workload
}

// For reports whether charts for w have the key.
func (k Key) For(w Workload) bool { return len(k.only) == 0 || k.only[0] == w }

// A Type is a type of JSON Schema.
type Type string

// The types.
const (
	String  Type = "string"
	Integer Type = "integer"
	Boolean Type = "boolean"
	Object  Type = "object"
	Array   Type = "array"
)

// A Shape describes the valid values of a key. At the top level, nil removes the default,
// which is rejected if Needed is set, as the templates require a value there.
type Shape struct {
	Type     Type
	Needed   bool
	Enum     []string // possible strings; nil: any
	Min, Max int64    // of an integer; Max 0: no limit
	Longest  int      // of a string, in characters; 0: no limit
	Elem     *Shape   // of an array's elements, or of the values of an object without Fields; nil: anything
	Fields   []Key    // of an object, which cannot have other keys then
}

var (
	str    = Shape{Type: String}
	flag   = Shape{Type: Boolean}
	object = Shape{Type: Object}
	list   = Shape{Type: Array}
)

func words() Shape { return Shape{Type: Array, Elem: &Shape{Type: String}} }

func dict() Shape { return Shape{Type: Object, Elem: &Shape{Type: String}} }

func objects(fields ...Key) Shape {
	return Shape{Type: Array, Elem: &Shape{Type: Object, Fields: fields}}
}

func number(low, high int64) Shape { return Shape{Type: Integer, Needed: true, Min: low, Max: high} }

func enum(values ...string) Shape { return Shape{Type: String, Enum: values} }

// Keys returns the keys of a generated chart's values, in the order of its values.yaml.
func Keys() []Key { return slices.Clone(keys) }

var keys = withContainers(table())

func table() []Key {
	services, jobs := []Workload{Service}, []Workload{Job}
	return slices.Concat([]Key{
		{Name: "image", Help: "The image of the container. pipe sets `reference`, which wins; the rest is for those who deploy without pipe. " +
			"`pullPolicy` is the `imagePullPolicy` of the container.", Shape: Shape{Type: Object, Needed: true, Fields: []Key{
			{Name: "reference", Shape: str}, {Name: "repository", Shape: str}, {Name: "tag", Shape: str}, {Name: "digest", Shape: str},
			{Name: "pullPolicy", Shape: enum("Always", "IfNotPresent", "Never")},
		}}},
		{Name: "global", Help: "`global.pipe` is what pipe says of the deploy: `pipeline`, the label `app.kubernetes.io/part-of`; `secrets`, the annotation " +
			"`checksum/secrets` of the pods, which replaces them when a secret changes; `environment`, `service` and `image`.", Shape: Shape{Type: Object, Needed: true}},
		{Name: "replicas", Help: "`replicas=`: the number of pods.", Shape: Shape{Type: Integer}, only: services},
		{Name: "command", Help: "`command=`: the container's `command`.", Shape: words()},
		{Name: "args", Help: "`args=`: the container's `args`.", Shape: words()},
		{Name: "env", Help: "`env=` and `secrets=`: the container's `env`, in this order. A variable has a `value`, a `secret` with the `name` of a Secret and a `key` in it, a `config` with those of a ConfigMap, or a `field` of the pod or of the container's resources.",
			Shape: objects(Key{Name: "name", Shape: str, Required: true}, Key{Name: "value", Shape: str}, Key{Name: "secret", Shape: Shape{Type: Object, Fields: []Key{
				{Name: "name", Shape: str, Required: true}, {Name: "key", Shape: str, Required: true},
			}}}, Key{Name: "config", Shape: Shape{Type: Object, Fields: []Key{
				{Name: "name", Shape: str, Required: true}, {Name: "key", Shape: str, Required: true},
			}}}, Key{Name: "field", Shape: str})},
		ports(),
		health(), startup(), liveness(),
		{Name: "startupSeconds", Help: "How many seconds the first success of the health check may take before Kubernetes restarts the container, at least `timeout=`: `failureThreshold` of the `startupProbe`.",
			Shape: number(1, 0), only: services},
		{Name: "settleSeconds", Help: "Without a health check, how many seconds a pod has to run until it counts as ready: `minReadySeconds`.", Shape: number(0, 0), only: services},
		{Name: "job", Help: "`retries=`, `timeout=` and `schedule=`: `backoffLimit`, `activeDeadlineSeconds` and the `schedule` of a CronJob. " +
			"`time_zone=`, `concurrency=`, `history=` and `deadline=`: `timeZone`, `concurrencyPolicy`, `successfulJobsHistoryLimit` and `failedJobsHistoryLimit`, and `startingDeadlineSeconds` of a CronJob.", Shape: Shape{Type: Object, Needed: true, Fields: []Key{
			{Name: "schedule", Shape: str}, {Name: "retries", Shape: number(0, 0), Required: true}, {Name: "seconds", Shape: number(1, 0), Required: true},
			{Name: "timeZone", Shape: str}, {Name: "concurrency", Shape: enum("Forbid", "Allow", "Replace")}, {Name: "history", Shape: number(0, 0)}, {Name: "startingSeconds", Shape: number(1, 0)},
		}}, only: jobs},
		{Name: "volumes", Help: "`volumes=`: a PersistentVolumeClaim each, which stays when the release goes. It is mounted at `path`, or its directory `subPath` is. `access` is its access mode, by default `ReadWriteOnce`.",
			Shape: objects(Key{Name: "name", Shape: str, Required: true}, Key{Name: "path", Shape: str, Required: true}, Key{Name: "size", Shape: str, Required: true}, Key{Name: "subPath", Shape: str},
				Key{Name: "storageClass", Shape: str}, Key{Name: "access", Shape: enum("ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod")})},
		{Name: "storageClass", Help: "`storageClassName` of those claims that have no `storageClass` of their own; empty: the cluster's default.", Shape: str},
		{Name: "resources", Help: "`resources=`: the container's `resources`.", Shape: object},
		{Name: "labels", Help: "`labels=`: labels of all objects.", Shape: dict()},
		{Name: "podAnnotations", Help: "Annotations of the pods.", Shape: dict()},
		{Name: "podSecurityContext", Help: "`securityContext` of the pods. With volumes of a service that is not a database it has the `fsGroup` 65532, so that an image " +
			"that does not run as root can write to them.", Shape: object},
		{Name: "securityContext", Help: "`securityContext` of the container.", Shape: object},
		{Name: "serviceAccount", Help: "Whether a ServiceAccount is made (`create`), its `name`, if empty that of the release, and its `annotations`; `automount`: " +
			"whether pods get a token for the Kubernetes API.", Shape: Shape{Type: Object, Needed: true, Fields: []Key{
			{Name: "create", Shape: flag}, {Name: "name", Shape: str}, {Name: "annotations", Shape: object}, {Name: "automount", Shape: flag},
		}}},
		{Name: "ingress", Help: "`ingressClassName`, annotations and `tls` of the Ingress for public ports.", Shape: Shape{Type: Object, Needed: true, Fields: []Key{
			{Name: "className", Shape: str}, {Name: "annotations", Shape: object}, {Name: "tls", Shape: list},
		}}, only: services},
		{Name: "livenessProbe", Help: "The container's `livenessProbe`, as Kubernetes writes it; empty: none. When it fails, Kubernetes restarts the container: let it check nothing that depends on others.",
			Shape: object, only: services},
		{Name: "terminationGracePeriodSeconds", Help: "How many seconds a pod has between the signal to end and being killed.", Shape: Shape{Type: Integer}},
		{Name: "imagePullSecrets", Help: "`imagePullSecrets` of the pods.", Shape: list},
		{Name: "nodeSelector", Help: "`nodeSelector` of the pods.", Shape: object},
		{Name: "affinity", Help: "`affinity` of the pods.", Shape: object},
		{Name: "tolerations", Help: "`tolerations` of the pods.", Shape: list},
	}, fileKeys(), volumeKeys(), runningKeys())
}

// Schema returns the JSON Schema of the values, which the charts contain.
func Schema() []byte {
	root := schemaOf(Shape{Type: Object, Fields: keys})
	root.Schema = "http://json-schema.org/draft-07/schema#"
	data, _ := json.MarshalIndent(root, "", "  ") // strings and numbers can always be encoded
	return append(data, '\n')
}

// A schema is a JSON Schema, with the keywords that are needed here.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        Type               `json:"type,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Minimum     *int64             `json:"minimum,omitempty"`
	Maximum     *int64             `json:"maximum,omitempty"`
	MaxLength   int                `json:"maxLength,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // false, or a schema
}

func schemaOf(s Shape) *schema {
	out := &schema{Type: s.Type, Enum: s.Enum, MaxLength: s.Longest}
	if s.Type == Integer {
		out.Minimum = &s.Min
	}
	if s.Max != 0 {
		out.Maximum = &s.Max
	}
	if s.Elem != nil && s.Type == Array {
		out.Items = schemaOf(*s.Elem)
	} else if s.Elem != nil {
		out.Additional = schemaOf(*s.Elem)
	}
	if len(s.Fields) > 0 {
		out.Properties, out.Additional = make(map[string]*schema, len(s.Fields)), false
	}
	for _, k := range s.Fields {
		field := schemaOf(k.Shape)
		field.Description = k.Help
		out.Properties[k.Name] = field
		if k.Required {
			out.Required = append(out.Required, k.Name)
		}
	}
	return out
}
