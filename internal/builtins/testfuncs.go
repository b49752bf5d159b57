package builtins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// TestSuffix is the suffix of the names of test files.
const TestSuffix = "_test.star"

// tests lists the builtins that only tests have, in the order of the reference.
var tests = []*builtins.Func{planFunc, planErrorFunc, goldenFunc}

// OfTests returns the builtin functions that test files have in addition to those of
// every Pipelinefile, in the order of the reference.
func OfTests() []*builtins.Func { return append([]*builtins.Func(nil), tests...) }

// Available returns the functions that the file of that name can use, including those of
// Starlark's libraries.
func Available(file string) []*builtins.Func {
	list := append(Standard(), Described()...)
	if strings.HasSuffix(file, TestSuffix) {
		list = append(list, tests...)
	}
	return list
}

// PredeclaredTests returns the names that only tests have, in addition to those of
// Predeclared.
func (s *Session) PredeclaredTests() starlark.StringDict {
	env := starlark.StringDict{}
	for _, f := range tests {
		env[f.Name] = f.Bind(s)
	}
	return env
}

// Tests is the state of a session that runs a test.
type Tests struct {
	// Plan evaluates another file, within the limits of the session. An error that is not
	// about that file ends the test.
	Plan    func(PlanRequest) (p *plan.Plan, wrong []plan.Diagnostic, err error)
	Goldens []Golden // that differ, in the order of comparison
}

// A PlanRequest is an evaluation that a test requests.
type PlanRequest struct {
	File        string  // below the workspace
	Text        *string // replaces the content of the file; nil: the file is read
	Params      map[string]string
	Environment plan.EnvironmentRef
}

// A Golden is a file whose content differs from what a test compared it with.
type Golden struct {
	Path    string   // below the workspace
	Pos     plan.Pos // of the comparison
	Got     string
	Want    string // the content of the file
	Missing bool   // the file does not exist
}

type planArgs struct {
	File        string            `arg:"file" default:"\"Pipelinefile\"" help:"a Pipelinefile, relative to the file of the test"`
	Text        *string           `arg:"text,kw" default:"None" help:"the content to use instead of that of the file, which need not exist"`
	Params      map[string]string `arg:"params,kw" default:"{}" type:"dict[str, str | int | bool | float]" help:"values of parameters, as --set gives them"`
	Environment string            `arg:"environment,kw" default:"\"default\"" help:"the environment that it is evaluated for"`
	Kind        string            `arg:"kind,kw" default:"\"environment\"" choices:"environment|clone|preview" help:"of the environment: environment, clone or preview"`
	Source      string            `arg:"source,kw" default:"\"\"" help:"what the environment was cloned from"`
	Branch      string            `arg:"branch,kw" default:"\"\"" help:"the branch of a preview"`
}

// evaluate evaluates the file that the call names.
func (a *planArgs) evaluate(c *Call) (*plan.Plan, []plan.Diagnostic, error) {
	if c.Session.Tests == nil {
		return nil, nil, c.noTest()
	}
	file, p := c.resolve(a.File)
	if p == nil && a.Text == nil && !c.Session.Files.isFile(file) {
		p = c.Session.Files.notFound(file)
	}
	if p != nil {
		return nil, nil, c.Reject("file", p)
	}
	if p := c.choice("kind", a.Kind); p != nil {
		return nil, nil, c.Reject("kind", p)
	}
	if p := checkName(a.Environment, plan.MaxName); p != nil {
		return nil, nil, c.Reject("environment", p)
	}
	return c.Session.Tests.Plan(PlanRequest{
		File: file, Text: a.Text, Params: a.Params,
		Environment: plan.EnvironmentRef{Name: a.Environment, Kind: plan.EnvironmentKind(a.Kind), Source: a.Source, Branch: a.Branch},
	})
}

// noTest is the error of a test function outside of a test.
func (c *Call) noTest() error {
	return c.Reject("", explain.Errorf("this is not a test").WithHint("write a function test_…() in a file *%s, and run: pipe test", TestSuffix))
}

var planFunc = define("plan", "plan", "Evaluates a Pipelinefile, and returns its plan. The test fails if the Pipelinefile has errors.",
	func(c *Call, a *planArgs) (starlark.Value, error) {
		p, wrong, err := a.evaluate(c)
		if err != nil {
			return nil, err
		}
		for _, d := range wrong {
			d.Related = append(slices.Clone(d.Related), plan.Related{Pos: c.Here(), Message: "evaluated here, for the environment " + a.Environment})
			c.Session.ReportSure(d)
		}
		if len(wrong) > 0 {
			return nil, builtins.ErrReported
		}
		return NewPlan(p, c.Session.Meter)
	})

var planErrorFunc = define("plan_error", "str", "Evaluates a Pipelinefile that must have errors, and returns these as they are shown. "+
	"The test fails if it has none.",
	func(c *Call, a *planArgs) (starlark.Value, error) {
		p, wrong, err := a.evaluate(c)
		if err != nil {
			return nil, err
		}
		if p != nil {
			return nil, c.Errorf("", "%s is valid for the environment %s, but an error was expected", a.File, a.Environment)
		}
		var b strings.Builder
		for _, d := range wrong {
			b.WriteString(d.String() + "\n")
		}
		return starlark.String(b.String()), c.Session.Meter.Make(b.Len())
	})

type goldenArgs struct {
	Value starlark.Value `arg:"value" type:"plan | str | value" help:"a plan, a string that is compared as it is, or a value that JSON can represent"`
	File  string         `arg:"file" help:"in a directory named testdata, relative to the file of the test"`
}

var goldenFunc = define("golden", "None", "Compares a value with the content of a file. If they differ, the test fails, and `pipe test --update` "+
	"writes the file. A plan is written as JSON without positions and digests of inputs, so that the file only changes with what is deployed.",
	func(c *Call, a *goldenArgs) (starlark.Value, error) {
		s := c.Session
		if s.Tests == nil {
			return nil, c.noTest()
		}
		file, p := c.resolve(a.File)
		if p == nil {
			p = goldenPath(file)
		}
		if p != nil {
			return nil, c.Reject("file", p)
		}
		got, err := c.goldenText(a.Value)
		if err != nil {
			return nil, err
		}
		g := Golden{Path: file, Pos: c.Here(), Got: got}
		data, err := s.Files.Read(file, plan.InputFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			g.Missing = true
		case bound(err):
			return nil, err
		case err != nil:
			return nil, c.Reject("file", s.Files.problem(file, err))
		}
		if g.Want = string(data); g.Missing || g.Got != g.Want {
			s.Tests.Goldens = append(s.Tests.Goldens, g)
		}
		return starlark.None, s.Meter.Charge(uint64(len(g.Want)))
	})

// goldenPath rejects files that are not golden files: with --update, an untrusted test
// must not write a file that a program would obey.
func goldenPath(file string) *explain.Error {
	parts := strings.Split(file, "/")
	for _, part := range parts {
		if strings.HasPrefix(part, ".") {
			return explain.Errorf("%s is hidden", explain.Clip(file)).WithHint("write, for example, \"testdata/staging.json\"")
		}
	}
	if !slices.Contains(parts[:len(parts)-1], "testdata") {
		return explain.Errorf("%s is not in a directory named testdata", explain.Clip(file)).WithHint("write, for example, %q", "testdata/"+parts[len(parts)-1])
	}
	return nil
}

// goldenText returns the string of a value to compare.
func (c *Call) goldenText(v starlark.Value) (string, error) {
	m := c.Session.Meter
	switch v := v.(type) {
	case *Plan:
		return v.golden(m)
	case starlark.String:
		return string(v), nil
	}
	n, err := m.TextSize(v)
	if err == nil {
		err = m.Charge(parseSize * uint64(n))
	}
	if err != nil {
		return "", err
	}
	data, p := toData(v, 0)
	if p != nil {
		return "", c.Reject("value", p)
	}
	return indentedJSON(data, m)
}

func indentedJSON(v any, m *bounded.Meter) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("golden: %w", err)
	}
	return b.String(), m.Make(b.Len())
}
