package plan

import (
	"cmp"
	"fmt"
	"strings"
)

// Namespace returns the default Kubernetes namespace of an environment (SPEC §1). A
// pipeline can declare another one: see [Plan.Namespace].
func Namespace(pipeline, environment string) string { return pipeline + "-" + environment }

// Namespace returns the Kubernetes namespace that the plan is for.
func (p *Plan) Namespace() string {
	return cmp.Or(p.Environment.Namespace, p.Pipeline.NamespaceOf(p.Environment.Name))
}

// SetNamespace makes namespace the one that the plan is for; empty: the one that the
// pipeline declares. The default one of a pipeline that declares none is not recorded.
func (p *Plan) SetNamespace(namespace string) {
	namespace = cmp.Or(namespace, p.Pipeline.NamespaceOf(p.Environment.Name))
	if p.Pipeline.Namespace == "" && namespace == Namespace(p.Pipeline.Name, p.Environment.Name) {
		namespace = ""
	}
	p.Environment.Namespace = namespace
}

// NamespaceOf returns the namespace that the pipeline declares for an environment.
func (p Pipeline) NamespaceOf(environment string) string {
	if p.Namespace == "" {
		return Namespace(p.Name, environment)
	}
	return strings.NewReplacer(fieldPipeline, p.Name, fieldEnvironment, environment).Replace(p.Namespace)
}

// NamespaceOf returns the namespace of the release of a service.
func (p *Plan) NamespaceOf(s *Service) string {
	if s.Namespace == "" {
		return p.Namespace()
	}
	return Pipeline{Name: p.Pipeline.Name, Namespace: s.Namespace}.NamespaceOf(p.Environment.Name)
}

// The fields of a template of namespaces.
const (
	fieldPipeline    = "{pipeline}"
	fieldEnvironment = "{environment}"
)

// A FieldError is a field of a template that does not exist.
type FieldError struct{ Field string }

func (e *FieldError) Error() string { return fmt.Sprintf("there is no field %s", e.Field) }

// CheckNamespace returns an error if the namespace that a pipeline declares for an
// environment is not valid: a [*FieldError] or a [*NameError].
func CheckNamespace(p Pipeline, environment string) error {
	rest := p.Namespace
	for {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			break
		}
		name, _, _ := strings.Cut(after, "}")
		if field := "{" + name + "}"; !strings.HasPrefix("{"+after, fieldPipeline) && !strings.HasPrefix("{"+after, fieldEnvironment) {
			return &FieldError{field}
		}
		rest = after
	}
	return CheckName(p.NamespaceOf(environment), MaxName)
}

// Reserved reports whether Kubernetes reserves a namespace for itself.
func Reserved(namespace string) bool { return strings.HasPrefix(namespace, "kube-") }
