package plan

import (
	"fmt"
	"iter"
	"slices"
)

// Absent yields a warning for each service that uses a skipped one, together with the
// service that uses it, unless deployed reports that the skipped service is deployed
// anyway. If deployed is nil, the state of the environment is unknown, and the warning
// says so. Skipped services use nothing.
func (p *Plan) Absent(deployed func(service string) bool) iter.Seq2[*Service, Diagnostic] {
	return func(yield func(*Service, Diagnostic) bool) {
		skipped := map[string]*Service{}
		for i := range p.Services {
			if s := &p.Services[i]; s.Skip && (deployed == nil || !deployed(s.Name)) {
				skipped[s.Name] = s
			}
		}
		if len(skipped) == 0 {
			return
		}
		for i := range p.Services {
			s := &p.Services[i]
			for _, name := range used(s) {
				if other := skipped[name]; other != nil && !s.Skip && !yield(s, absent(s, other, deployed != nil)) {
					return
				}
			}
		}
	}
}

// used returns the services whose address or credentials s uses, sorted.
func used(s *Service) []string {
	names := slices.Clone(s.Uses)
	for _, ref := range s.SecretRefs() {
		if ref.Service != "" {
			names = append(names, ref.Service)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func absent(s, other *Service, known bool) Diagnostic {
	d := Diagnostic{
		Severity: SeverityWarning, Pos: s.Pos, Rule: "skipped-used",
		Message: fmt.Sprintf("%s uses %s, which is skipped: nothing answers at %s unless it is deployed already", s.Name, other.Name, other.Name),
		Hint:    fmt.Sprintf("deploy it with --service %s or without the skip, or give %s another address", other.Name, s.Name),
		Related: []Related{{Pos: other.Pos, Message: other.Name + " is skipped"}},
	}
	if known {
		d.Message = fmt.Sprintf("%s uses %s, which is skipped and not deployed: nothing answers at %s", s.Name, other.Name, other.Name)
	}
	if why := other.SkipWhy; why != nil {
		d.Related[0].Message += ": " + why.Text
		if !why.Pos.IsZero() {
			d.Related[0].Pos = why.Pos
		}
	}
	if !s.Caller.IsZero() {
		d.Related = append(d.Related, Related{Pos: s.Caller, Message: s.Name + " is declared by the call here"})
	}
	return d
}
