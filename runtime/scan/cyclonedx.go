package scan

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// maxDepth is in how many other components a component may be.
const maxDepth = 20

type component struct {
	Ref        string      `json:"bom-ref"`
	Name       string      `json:"name"`
	Version    string      `json:"version"`
	Components []component `json:"components"`
}

type vulnerability struct {
	ID             string `json:"id"`
	Recommendation string `json:"recommendation"`
	Ratings        []struct {
		Severity string   `json:"severity"`
		Score    *float64 `json:"score"`
		Method   string   `json:"method"`
	} `json:"ratings"`
	Analysis struct {
		State string `json:"state"`
	} `json:"analysis"`
	Affects []struct {
		Ref      string `json:"ref"`
		Versions []struct {
			Status string `json:"status"`
		} `json:"versions"`
	} `json:"affects"`
}

func readCycloneDX(data []byte) ([]runtime.Finding, error) {
	var bom struct {
		SpecVersion string `json:"specVersion"`
		Metadata    struct {
			Component component `json:"component"`
		} `json:"metadata"`
		Components      []component     `json:"components"`
		Vulnerabilities json.RawMessage `json:"vulnerabilities"`
	}
	if err := json.Unmarshal(data, &bom); err != nil {
		return nil, fmt.Errorf("it is not valid CycloneDX: %w", err)
	}
	if !slices.Contains([]string{"1.4", "1.5", "1.6"}, bom.SpecVersion) {
		return nil, fmt.Errorf("it is CycloneDX %s, and 1.4 to 1.6 can be read", clip(bom.SpecVersion))
	}
	if bom.Vulnerabilities == nil { // an SBOM
		return nil, errors.New("it has no list of vulnerabilities: the scanner has listed packages only")
	}
	var all []vulnerability
	if err := json.Unmarshal(bom.Vulnerabilities, &all); err != nil {
		return nil, fmt.Errorf("it is not valid CycloneDX: %w", err)
	}
	components := make(map[string]component)
	collect(components, append(bom.Components, bom.Metadata.Component), maxDepth)
	var found []runtime.Finding
	for _, v := range all {
		switch v.Analysis.State {
		case "resolved", "resolved_with_pedigree", "false_positive", "not_affected":
			continue
		}
		f := runtime.Finding{ID: v.ID, Severity: v.severity(), Fixed: v.Recommendation}
		if len(v.Affects) == 0 {
			found = append(found, f)
		}
		for _, a := range v.Affects {
			unaffected := 0
			for _, version := range a.Versions {
				if version.Status == "unaffected" {
					unaffected++
				}
			}
			if unaffected > 0 && unaffected == len(a.Versions) {
				continue
			}
			c, known := components[a.Ref]
			if _, ref, ok := strings.Cut(a.Ref, "#"); !known && ok { // a link to a component of a document
				c, known = components[ref]
			}
			f.Package, f.Version = c.Name, c.Version
			if !known {
				f.Package = a.Ref
			}
			found = append(found, f)
		}
		if len(found) > 10*MaxFindings {
			return nil, fmt.Errorf("it has more than %d findings", MaxFindings)
		}
	}
	return found, nil
}

// collect collects components by their references.
func collect(to map[string]component, all []component, depth int) {
	if depth == 0 {
		return
	}
	for _, c := range all {
		if c.Ref != "" {
			to[c.Ref] = c
		}
		collect(to, c.Components, depth-1)
	}
}

// severity returns the highest rating of a vulnerability. One without a severity counts by its score,
// if that is of CVSS.
func (v *vulnerability) severity() plan.Risk {
	highest, rated := plan.RiskNone, false
	for _, r := range v.Ratings {
		risk := worded(r.Severity)
		if risk == plan.RiskUnknown && r.Score != nil && (r.Method == "" || strings.HasPrefix(r.Method, "CVSS")) {
			risk = plan.RiskOf(*r.Score)
		}
		if risk == plan.RiskUnknown {
			continue
		}
		rated = true
		if risk.Rank() > highest.Rank() {
			highest = risk
		}
	}
	if !rated {
		return plan.RiskUnknown
	}
	return highest
}
