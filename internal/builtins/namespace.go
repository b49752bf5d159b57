package builtins

import (
	"errors"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/plan"
)

// namespaceFields are what the namespace= of a pipeline can contain.
var namespaceFields = []string{"{pipeline}", "{environment}"}

// namespace checks the namespace of the environment that is evaluated.
func (c *Call) namespace() {
	p, env := c.Session.Pipeline, c.Session.Environment
	if env.Namespace != "" { // it was given for this evaluation
		return
	}
	if !c.says("namespace") {
		if err := plan.CheckEnvironment(p.Name, env.Name); err != nil {
			c.wrong("name", explain.Errorf("%v", err))
		}
		return
	}
	if !c.Valid("namespace") {
		return
	}
	wrong := wrongNamespace(*p, env.Name, "{pipeline}-{environment}")
	if wrong == nil && plan.Reserved(p.NamespaceOf(env.Name)) {
		wrong = explain.Errorf("Kubernetes reserves namespaces that begin with kube- for itself")
	}
	c.wrong("namespace", wrong)
}

// wrongNamespace returns what is wrong with the namespace that p declares for an
// environment, or nil. absent describes the namespace without the argument.
func wrongNamespace(p plan.Pipeline, environment, absent string) *explain.Error {
	if len(p.Namespace) > maxTemplate {
		return explain.Errorf("%v", &plan.NameError{Name: p.Namespace, Max: plan.MaxName})
	}
	namespace := p.NamespaceOf(environment)
	err := plan.CheckNamespace(p, environment)
	var field *plan.FieldError
	switch {
	case p.Namespace == "":
		return explain.Errorf("it is empty").WithHint("leave it out for %s", absent)
	case errors.As(err, &field):
		wrong := explain.Errorf("%v", field).WithHint("the fields are {pipeline} and {environment}")
		wrong.Suggest = misspell.Nearest(explain.Clip(field.Field), namespaceFields)
		return wrong
	case err != nil && namespace == p.Namespace:
		return checkName(namespace, plan.MaxName)
	case err != nil: // a suggestion would not have the fields
		return explain.Errorf("%v", err)
	}
	return nil
}

// maxTemplate is longer than every template of a valid namespace: each character of that
// may be a field.
const maxTemplate = plan.MaxName * len("{environment}")

// releaseNamespace sets the namespace of the release of s.
func (c *Call) releaseNamespace(s *Service, namespace string) {
	if !c.says("namespace") || !c.Valid("namespace") {
		return
	}
	s.claim().NamespacePos = c.ArgPos("namespace", nil)
	if s.Plan.Namespace = namespace; namespace == "" || len(namespace) > maxTemplate {
		c.wrong("namespace", wrongNamespace(plan.Pipeline{Namespace: namespace}, "", "that of the environment"))
		s.Plan.Namespace = ""
	}
}

// CheckNamespace returns the error of the namespace of a service, if it has one, for the
// environment that is evaluated, or nil.
func (s *Service) CheckNamespace(pipeline, environment string) error {
	if s.Plan.Namespace == "" {
		return nil
	}
	if p := wrongNamespace(plan.Pipeline{Name: pipeline, Namespace: s.Plan.Namespace}, environment, ""); p != nil {
		return p
	}
	return nil
}
