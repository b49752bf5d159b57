package lint

import "encoding/json"

// SARIF returns findings in the Static Analysis Results Interchange Format,
// version 2.1.0, which code hosts show next to the lines. Paths are relative to
// the workspace's root. Code hosts accept at most a thousand findings: if there
// are more, it has the first ones and the number of the rest.
func SARIF(findings []Finding, version string) ([]byte, error) {
	type text struct {
		Text string `json:"text"`
	}
	type rule struct {
		ID    string `json:"id"`
		Short text   `json:"shortDescription"`
		Full  text   `json:"fullDescription"`
	}
	type region struct {
		Line int `json:"startLine,omitempty"`
		Col  int `json:"startColumn,omitempty"`
	}
	type artifact struct {
		URI string `json:"uri"`
	}
	type physical struct {
		Artifact artifact `json:"artifactLocation"`
		Region   *region  `json:"region,omitempty"`
	}
	type location struct {
		Physical physical `json:"physicalLocation"`
	}
	type result struct {
		Rule      string     `json:"ruleId,omitempty"`
		Level     string     `json:"level"`
		Message   text       `json:"message"`
		Locations []location `json:"locations"`
	}
	type driver struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
		Rules   []rule `json:"rules"`
	}
	type tool struct {
		Driver driver `json:"driver"`
	}
	type run struct {
		Tool    tool     `json:"tool"`
		Columns string   `json:"columnKind"`
		Results []result `json:"results"`
	}
	type log struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []run  `json:"runs"`
	}
	r := run{Tool: tool{driver{Name: "pipe lint", Version: version}}, Columns: "unicodeCodePoints", Results: []result{}}
	for _, one := range rules {
		r.Tool.Driver.Rules = append(r.Tool.Driver.Rules, rule{one.Name, text{one.Summary}, text{one.Doc}})
	}
	for _, f := range First(1000, findings) {
		message := f.Message
		if f.Hint != "" {
			message += "; " + f.Hint
		}
		at := physical{Artifact: artifact{f.Pos.File}}
		if f.Pos.Line > 0 {
			at.Region = &region{f.Pos.Line, f.Pos.Col}
		}
		r.Results = append(r.Results, result{f.Rule, "warning", text{message}, []location{{at}}})
	}
	data, err := json.MarshalIndent(log{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []run{r}}, "", "  ")
	return append(data, '\n'), err
}
