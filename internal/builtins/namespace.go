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
	if !c.Given("namespace") {
		if err := plan.CheckEnvironment(p.Name, env.Name); err != nil {
			c.wrong("name", explain.Errorf("%v", err))
		}
		return
	}
	if !c.Valid("namespace") {
		return
	}
	namespace := p.NamespaceOf(env.Name)
	err := plan.CheckNamespace(*p, env.Name)
	var field *plan.FieldError
	switch {
	case p.Namespace == "":
		c.wrong("namespace", explain.Errorf("it is empty").WithHint("leave it out for {pipeline}-{environment}"))
	case errors.As(err, &field):
		wrong := explain.Errorf("%v", field).WithHint("the fields are {pipeline} and {environment}")
		wrong.Suggest = misspell.Nearest(explain.Clip(field.Field), namespaceFields)
		c.wrong("namespace", wrong)
	case err != nil && namespace == p.Namespace:
		c.wrong("namespace", checkName(namespace, plan.MaxName))
	case err != nil: // a suggestion would not have the fields
		c.wrong("namespace", explain.Errorf("%v", err))
	case plan.Reserved(namespace):
		c.wrong("namespace", explain.Errorf("Kubernetes reserves namespaces that begin with kube- for itself"))
	}
}
