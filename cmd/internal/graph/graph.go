// Package graph draws the stages and services of a plan: as text, in the
// languages of Graphviz and Mermaid, and as an SVG picture that needs no other
// program.
package graph

import (
	"fmt"
	"html"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// A Format is a way to draw a graph.
type Format string

// The formats.
const (
	Text    Format = "text"
	DOT     Format = "dot"
	Mermaid Format = "mermaid"
	SVG     Format = "svg"
)

// Formats are all formats, in the order in which help lists them.
var Formats = []string{string(Text), string(DOT), string(Mermaid), string(SVG)}

// A Graph is what is drawn of a plan. Its JSON form is documented.
type Graph struct {
	Version     int     `json:"version"` // 1
	Pipeline    string  `json:"pipeline"`
	Environment string  `json:"environment"`
	Stages      []Stage `json:"stages"` // in running order; empty ones are left out
	Edges       []Edge  `json:"edges"`
}

// A Stage is a stage with its services, in the order of the plan.
type Stage struct {
	Name     string    `json:"name"`
	Services []Service `json:"services"`
}

// A Service is one node.
type Service struct {
	Name    string           `json:"name"`
	Type    plan.ServiceType `json:"type"`
	Skipped bool             `json:"skipped,omitempty"`
}

// An Edge means that a service uses something of another one.
type Edge struct {
	From string `json:"from"` // the one that uses
	To   string `json:"to"`   // the one that is used
	// Why is "image" if both have one image, "base image" if the image of one is based on
	// that of the other, "credentials" of a database, or "host" for the address.
	Why string `json:"why"`
}

// Of returns the graph of a plan.
func Of(p *plan.Plan) Graph {
	g := Graph{Version: 1, Pipeline: p.Pipeline.Name, Environment: p.Environment.Name, Stages: []Stage{}, Edges: []Edge{}}
	byStage := make(map[string][]Service)
	for _, s := range p.Services {
		byStage[s.Stage] = append(byStage[s.Stage], Service{s.Name, s.Type, s.Skip})
	}
	for _, st := range p.Stages {
		if services := byStage[st.Name]; len(services) > 0 {
			g.Stages = append(g.Stages, Stage{st.Name, services})
		}
	}
	ports := make(map[string]bool) // the names of all services
	for _, s := range p.Services {
		ports[s.Name] = true
	}
	for _, s := range p.Services {
		g.Edges = append(g.Edges, edges(p, s, ports)...)
	}
	return g
}

// edges returns the edges from a service, at most one to each other service.
func edges(p *plan.Plan, s plan.Service, names map[string]bool) []Edge {
	var out []Edge
	seen := map[string]bool{s.Name: true}
	add := func(to, why string) {
		if !seen[to] && names[to] {
			seen[to] = true
			out = append(out, Edge{s.Name, to, why})
		}
	}
	for _, ref := range s.SecretRefs() {
		if ref.Service != "" {
			add(ref.Service, "credentials")
		}
	}
	for _, used := range s.Uses {
		add(used, "host")
	}
	for _, from := range s.AllImages() {
		if from.Build != "" {
			add(plan.BuiltFor(from.Build), "image")
		}
		build := p.Build(from.Build)
		if build == nil {
			continue
		}
		for _, arg := range slices.Sorted(maps.Keys(build.ImageArgs)) {
			add(plan.BuiltFor(build.ImageArgs[arg].Build), "base image")
		}
	}
	return out
}

// Write draws g.
func Write(w io.Writer, g Graph, format Format) error {
	var b strings.Builder
	switch format {
	case DOT:
		dot(&b, g)
	case Mermaid:
		mermaid(&b, g)
	case SVG:
		svg(&b, g)
	default:
		text(&b, g)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func text(b *strings.Builder, g Graph) {
	uses := make(map[string][]string)
	for _, e := range g.Edges {
		uses[e.From] = append(uses[e.From], fmt.Sprintf("%s of %s", e.Why, e.To))
	}
	fmt.Fprintf(b, "%s: environment %s\n", g.Pipeline, g.Environment)
	for i, st := range g.Stages {
		arrow := "  "
		if i > 0 {
			arrow = "↓ "
		}
		fmt.Fprintf(b, "%s%s\n", arrow, st.Name)
		for j, s := range st.Services {
			branch := "├─"
			if j == len(st.Services)-1 {
				branch = "└─"
			}
			fmt.Fprintf(b, "  %s %s  %s", branch, s.Name, s.Type)
			if s.Skipped {
				b.WriteString(", skipped")
			}
			if u := uses[s.Name]; len(u) > 0 {
				fmt.Fprintf(b, "  ← %s", strings.Join(u, ", "))
			}
			b.WriteString("\n")
		}
	}
}

func dot(b *strings.Builder, g Graph) {
	fmt.Fprintf(b, "digraph %q {\n  rankdir = LR\n  compound = true\n  node [shape = box, style = rounded]\n", g.Pipeline)
	for i, st := range g.Stages {
		fmt.Fprintf(b, "  subgraph cluster_%d {\n    label = %q\n", i, st.Name)
		for _, s := range st.Services {
			style := ""
			if s.Skipped {
				style = ", style = dashed"
			}
			fmt.Fprintf(b, "    %q [label = \"%s\\n%s\"%s]\n", s.Name, s.Name, s.Type, style)
		}
		b.WriteString("  }\n")
	}
	for i := 1; i < len(g.Stages); i++ {
		fmt.Fprintf(b, "  %q -> %q [ltail = cluster_%d, lhead = cluster_%d, style = bold]\n",
			g.Stages[i-1].Services[0].Name, g.Stages[i].Services[0].Name, i-1, i)
	}
	for _, e := range g.Edges {
		fmt.Fprintf(b, "  %q -> %q [label = %q, style = dotted, constraint = false]\n", e.From, e.To, e.Why)
	}
	b.WriteString("}\n")
}

func mermaid(b *strings.Builder, g Graph) {
	b.WriteString("flowchart LR\n")
	// A name can be a keyword of Mermaid, such as "end", so nodes are numbered.
	id := make(map[string]string)
	for i, st := range g.Stages {
		fmt.Fprintf(b, "  subgraph stage%d[\"%s\"]\n", i+1, quoteMermaid(st.Name))
		for _, s := range st.Services {
			id[s.Name] = fmt.Sprintf("s%d", len(id)+1)
			fmt.Fprintf(b, "    %s[\"%s<br/>%s\"]\n", id[s.Name], s.Name, s.Type)
			if s.Skipped {
				fmt.Fprintf(b, "    style %s stroke-dasharray: 4 4\n", id[s.Name])
			}
		}
		b.WriteString("  end\n")
	}
	for i := 1; i < len(g.Stages); i++ {
		fmt.Fprintf(b, "  stage%d ==> stage%d\n", i, i+1)
	}
	for _, e := range g.Edges {
		fmt.Fprintf(b, "  %s -. %s .-> %s\n", id[e.From], e.Why, id[e.To])
	}
}

func quoteMermaid(s string) string {
	return strings.ReplaceAll(html.EscapeString(s), "&#34;", "&quot;")
}
