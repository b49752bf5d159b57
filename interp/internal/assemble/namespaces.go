package assemble

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// namespaces reports the namespaces of services that are not valid for the environment (E9).
func (a *assembly) namespaces(p *plan.Plan, services []*builtins.Service) {
	if plan.CheckName(p.Pipeline.Name, plan.MaxServiceName) != nil {
		return // reported
	}
	for _, s := range services {
		var wrong *explain.Error
		if !errors.As(s.CheckNamespace(p.Pipeline.Name, p.Environment.Name), &wrong) {
			continue
		}
		a.session.Report(plan.Diagnostic{
			Severity: plan.SeverityError, Pos: s.Claims().NamespacePos, Stack: s.Stack, Hint: wrong.Hint, Suggest: wrong.Suggest,
			Message: fmt.Sprintf("%s: namespace: %s", strings.ToLower(string(s.Plan.Type)), wrong.Msg),
		})
		s.Plan.Namespace = ""
	}
}
