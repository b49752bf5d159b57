package scan

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A sarifRun is a run of a scanner, as far as it says what was found.
type sarifRun struct {
	Tool struct {
		Driver     sarifTool   `json:"driver"`
		Extensions []sarifTool `json:"extensions"`
	} `json:"tool"`
	Invocations []struct {
		Successful *bool `json:"executionSuccessful"`
	} `json:"invocations"`
	Results *[]sarifResult `json:"results"`
}

type sarifTool struct {
	Rules []*sarifRule `json:"rules"`
}

type sarifRule struct {
	ID   string    `json:"id"`
	Help sarifText `json:"help"`
	// Properties may have values of any type.
	Properties           map[string]json.RawMessage `json:"properties"`
	DefaultConfiguration struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID    string `json:"ruleId"`
	RuleIndex *int   `json:"ruleIndex"`
	Rule      struct {
		ID    string `json:"id"`
		Index *int   `json:"index"`
	} `json:"rule"`
	Kind       string                     `json:"kind"`
	Level      string                     `json:"level"`
	Baseline   string                     `json:"baselineState"`
	Message    sarifText                  `json:"message"`
	Properties map[string]json.RawMessage `json:"properties"`
}

func readSARIF(data []byte) ([]runtime.Finding, error) {
	var log struct {
		Runs []sarifRun `json:"runs"`
	}
	if err := json.Unmarshal(data, &log); err != nil {
		return nil, fmt.Errorf("it is not valid SARIF: %w", err)
	}
	if len(log.Runs) == 0 {
		return nil, errors.New("it has no run of a scanner")
	}
	var found []runtime.Finding
	for _, run := range log.Runs {
		for _, i := range run.Invocations {
			if i.Successful != nil && !*i.Successful {
				return nil, errors.New("it says that the scanner was not successful")
			}
		}
		if run.Results == nil { // the scanner did not get that far
			return nil, errors.New("a run in it has no results")
		}
		rules := make(map[string]*sarifRule)
		for _, tool := range append(run.Tool.Extensions, run.Tool.Driver) {
			for _, rule := range tool.Rules {
				if rule != nil {
					rules[rule.ID] = rule
				}
			}
		}
		for _, result := range *run.Results {
			// Suppressions are not read: only the Pipelinefile says what is ignored.
			if result.Kind == "pass" || result.Kind == "notApplicable" || result.Baseline == "absent" {
				continue
			}
			found = append(found, result.finding(run.ruleOf(&result, rules)))
		}
	}
	return found, nil
}

// ruleOf returns the rule of a result. The identifier has precedence: some scanners write a wrong
// index beside it.
func (run *sarifRun) ruleOf(r *sarifResult, rules map[string]*sarifRule) *sarifRule {
	for _, id := range []string{r.RuleID, r.Rule.ID} {
		if rule := rules[id]; rule != nil && id != "" {
			return rule
		}
	}
	for _, i := range []*int{r.RuleIndex, r.Rule.Index} {
		if i != nil && *i >= 0 && *i < len(run.Tool.Driver.Rules) && run.Tool.Driver.Rules[*i] != nil {
			return run.Tool.Driver.Rules[*i]
		}
	}
	return &sarifRule{}
}

// identifier matches the identifier of a vulnerability before the name of the package, as grype writes
// a rule.
var identifier = regexp.MustCompile(`^(CVE-[0-9]{4}-[0-9]+|GHSA(?:-[0-9a-z]{4}){3})-(.+)$`)

// finding returns the finding of a result. SARIF has no fields for packages: scanners write them in
// lines of the message or of the help of the rule.
func (r *sarifResult) finding(rule *sarifRule) runtime.Finding {
	var f runtime.Finding
	word := ""
	for _, text := range []string{r.Message.Text, rule.Help.Text} {
		// The description of a vulnerability, which comes last, may have such lines, too.
		lines := strings.Split(text, "\n")
		for _, line := range lines[:min(len(lines), 10)] {
			key, value, _ := strings.Cut(line, ":")
			value = strings.TrimSpace(value)
			set := func(to *string) {
				if *to == "" {
					*to = value
				}
			}
			switch strings.ToLower(strings.TrimSpace(key)) {
			case "package":
				set(&f.Package)
			case "version", "installed version":
				set(&f.Version)
			case "fixed version", "fix version":
				set(&f.Fixed)
			case "severity":
				set(&word)
			default:
				if id, ok := strings.CutPrefix(line, "Vulnerability "); ok && f.ID == "" && !strings.ContainsAny(strings.TrimSpace(id), " :") {
					f.ID = strings.TrimSpace(id)
				}
			}
		}
	}
	if f.ID == "" {
		f.ID = r.RuleID
		if f.ID == "" {
			f.ID = r.Rule.ID
		}
		if f.ID == "" {
			f.ID = rule.ID
		}
		if m := identifier.FindStringSubmatch(f.ID); m != nil {
			f.ID = m[1]
			if f.Package == "" {
				f.Package = m[2]
			}
		}
	}
	f.Severity = r.severity(rule, word)
	return f
}

// severity returns the severity of a result: the score of its rule; else its level. word is what its
// text says, which counts only if a score of 0 stands for an unknown one.
func (r *sarifResult) severity(rule *sarifRule, word string) plan.Risk {
	for _, properties := range []map[string]json.RawMessage{r.Properties, rule.Properties} {
		raw, ok := properties["security-severity"]
		if !ok {
			continue
		}
		score, err := strconv.ParseFloat(strings.Trim(strings.TrimSpace(string(raw)), `"`), 64)
		if err != nil {
			return plan.RiskUnknown
		}
		if score == 0 && strings.EqualFold(word, string(plan.RiskUnknown)) {
			return plan.RiskUnknown
		}
		return plan.RiskOf(score)
	}
	level := r.Level
	if level == "" {
		level = rule.DefaultConfiguration.Level
	}
	switch level {
	case "error":
		return plan.RiskHigh
	case "warning":
		return plan.RiskMedium
	case "note":
		return plan.RiskLow
	case "none":
		return plan.RiskNone
	}
	return plan.RiskUnknown
}
