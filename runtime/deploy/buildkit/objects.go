package buildkit

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Options describe builders. The JSON is kept in an annotation of their StatefulSet.
type Options struct {
	Replicas     int    `json:"replicas,omitempty"`
	Storage      string `json:"storage"`                 // of the cache of each builder, such as 50Gi
	StorageClass string `json:"storage_class,omitempty"` // empty: the default one of the cluster
	CPU          string `json:"cpu,omitempty"`           // of each build, such as 4 or 500m
	Memory       string `json:"memory,omitempty"`        // of each build, such as 4Gi
	Rootless     bool   `json:"rootless,omitempty"`      // run as an ordinary user, which cannot limit builds
	Image        string `json:"image,omitempty"`         // of BuildKit; empty: the one that is tested with this version of pipe
}

// Defaults returns the options of new builders.
func Defaults() Options {
	return Options{Replicas: 1, Storage: "50Gi", CPU: "4", Memory: "4Gi"}
}

// The images of the version of BuildKit that pipe is built with. A test compares it with go.mod.
const (
	image         = "docker.io/moby/buildkit:v0.33.1@sha256:cec9f139f45e93c5c69c60f8b07cfad9f43f4ef6b6a6cd917527fea5ff2e3dea"
	imageRootless = "docker.io/moby/buildkit:v0.33.1-rootless@sha256:f8a833b2de9d68e27f0815e4a737abdfaf8a2e4c615650557df11025101557b4"
)

// image returns the image of the builders.
func (o Options) image() string {
	switch {
	case o.Image != "":
		return o.Image
	case o.Rootless:
		return imageRootless
	}
	return image
}

// fixed returns those that cannot be changed while there are volumes.
func (o Options) fixed() Options {
	return Options{Storage: o.Storage, StorageClass: o.StorageClass, Rootless: o.Rootless}
}

// Check returns an error if an option is invalid.
func (o Options) Check() error {
	if o.Replicas < 1 {
		return fmt.Errorf("the number of builders is %d: it must be at least 1", o.Replicas)
	}
	for _, q := range []struct{ what, value, example string }{
		{"the size of the cache", o.Storage, "50Gi"}, {"the CPUs of a build", o.CPU, "4"}, {"the memory of a build", o.Memory, "4Gi"},
	} {
		if _, err := positive(q.value, q.example); err != nil {
			return fmt.Errorf("%s is %q: %w", q.what, q.value, err)
		}
	}
	if cpu := resource.MustParse(o.CPU); cpu.Cmp(resource.MustParse("1000")) > 0 {
		return fmt.Errorf("the CPUs of a build are %s: there may be at most 1000", o.CPU)
	}
	if storage := resource.MustParse(o.Storage); storage.Value() < 1e9 {
		return fmt.Errorf("the size of the cache is %s: it must be at least 1G", o.Storage)
	}
	if o.Image != "" && (strings.ContainsAny(o.Image, " \t\n\"'") || strings.Contains(o.Image, "://")) {
		// It is not shown: it may have a password in it.
		return errors.New("the image must be a reference such as registry.example.com/mirror/buildkit:v0.33.1")
	}
	return nil
}

//go:embed buildkit.yaml
var source string

// grace is how long a builder may take to end its builds when its pod is deleted, in seconds.
const grace = 600

// objects returns the objects of the builders, except for the Secrets. certificate changes when
// that of the builders does.
func (o Options) objects(namespace, certificate string) ([]*unstructured.Unstructured, error) {
	t, err := template.New("buildkit.yaml").Funcs(template.FuncMap{"json": func(v any) (string, error) {
		data, err := json.Marshal(v)
		return string(data), err
	}}).Parse(source)
	if err != nil {
		return nil, err
	}
	options, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	fixed, err := json.Marshal(o.fixed())
	if err != nil {
		return nil, err
	}
	storage := resource.MustParse(o.Storage)
	mb := storage.Value() / 1e6
	values := map[string]any{
		"Namespace": namespace, "Options": o, "OptionsJSON": string(options), "FixedJSON": string(fixed), "Image": o.image(), "Labels": labels(), "Selector": selector(),
		"Port": port, "Grace": grace, "CPU": o.CPU, "Memory": o.Memory, "Certificate": certificate, "ServerSecret": secretServer,
		"LabelUses": labelUses, "AnnotationOptions": annotationOptions, "AnnotationCPU": annotationCPU, "AnnotationMemory": annotationMemory,
		"AnnotationCertificate": annotationCertificate,
		// What is kept in any case, what is kept free, and the limit of the cache, in megabytes.
		"CacheLimits": fmt.Sprintf("%d,%d,%d", mb/10, mb/20, mb*9/10),
		"Socket":      "/run/buildkit/buildkitd.sock", "Root": "/var/lib/buildkit",
	}
	if o.Rootless {
		values["Socket"], values["Root"] = "/run/user/1000/buildkit/buildkitd.sock", "/home/user/.local/share/buildkit"
	}
	var text strings.Builder
	if err := t.Execute(&text, values); err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, document := range strings.Split(text.String(), "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &u.Object); err != nil {
			return nil, fmt.Errorf("buildkit.yaml: %w", err)
		}
		u.SetNamespace(namespace)
		all = append(all, u)
	}
	return all, nil
}

// Size returns the number of bytes of a quantity, such as 50Gi.
func Size(quantity string) (int64, error) {
	amount, err := positive(quantity, "50Gi")
	return amount.Value(), err
}

// positive parses a quantity, which must be greater than zero.
func positive(quantity, example string) (resource.Quantity, error) {
	amount, err := resource.ParseQuantity(quantity)
	if err != nil || amount.Sign() <= 0 {
		return resource.Quantity{}, fmt.Errorf("it must be a quantity such as %s", example)
	}
	return amount, nil
}
