package builtins

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

type pipelineArgs struct {
	Name              string      `arg:"name" help:"a DNS label"`
	Namespace         string      `arg:"namespace,kw" default:"None" help:"the Kubernetes namespace of an environment; {pipeline} and {environment} stand for the two names; \"{pipeline}-{environment}\" if not given"`
	Registry          string      `arg:"registry,kw" default:"None" help:"where images are kept, such as \"ghcr.io/owner/shop\"; --registry or the embedded one if not given"`
	SBOM              sbomArg     `arg:"sbom,kw" default:"None" help:"the image of the scanner with which builders make an SBOM of each image, such as \"docker/buildkit-syft-scanner:stable-1\"; False: none is made; pipe-sbom, if it is installed beside pipe, if not given"`
	BuildParallelism  int         `arg:"build_parallelism,kw" default:"7" help:"the maximum number of concurrent builds"`
	DeployParallelism int         `arg:"deploy_parallelism,kw" default:"7" help:"the maximum number of concurrent deploys"`
	BuildAhead        bool        `arg:"build_ahead,kw" default:"False" help:"let idle build slots build for later stages"`
	AllowContexts     []string    `arg:"allow_contexts,kw" default:"[]" help:"kubeconfig contexts that watch mode may change, besides local ones"`
	Sign              *SigningKey `arg:"sign,kw" default:"None" help:"who signs the images that are built: signing_key() or keyless()"`
	Verify            []*Signed   `arg:"verify,kw" default:"[]" help:"which images must be signed before they are deployed, and by whom: a list of signed()"`
	Scan              *Scan       `arg:"scan,kw" default:"None" help:"how images are scanned for vulnerabilities before they are deployed: scan()"`
}

// sbomArg is the image of a scanner, or False.
type sbomArg struct {
	scanner string
	off     bool
}

func (sbomArg) TypeName() string { return "str | bool" }

// Unpack accepts both.
func (a *sbomArg) Unpack(v starlark.Value) error {
	if b, ok := v.(starlark.Bool); ok {
		if b {
			return explain.Errorf("want the image of a scanner or False, got True").WithHint("leave it out: the images that are built have SBOMs if pipe-sbom is installed")
		}
		a.off = true
		return nil
	}
	if p := convert.String(&a.scanner, v); p != nil {
		if p = convert.Want("str or False", v); p.Hint == "" {
			p.Hint = sbomHint
		}
		return p
	}
	if a.scanner == "" {
		return explain.Errorf("want the image of a scanner or False, got an empty string").WithHint(sbomHint)
	}
	return nil
}

// sbomHint says what sbom= can be.
const sbomHint = `write the image of a scanner, such as "docker/buildkit-syft-scanner:stable-1", or False for no SBOMs; or leave it out`

var pipelineFunc = declare("pipeline", "None", "Names the pipeline and sets options for all of it. Every Pipelinefile calls it once.",
	func(c *Call, a *pipelineArgs) (starlark.Value, error) {
		s := c.Session
		if c.Valid("name") {
			c.wrong("name", checkName(a.Name, plan.MaxServiceName))
		}
		if a.Registry != "" {
			if p := checkCredentials(a.Registry, loginHint); p != nil {
				c.wrong("registry", p)
				a.Registry = "" // do not pass it on
			} else if p := checkImage(a.Registry); p != nil || strings.ContainsRune(a.Registry, '@') {
				c.wrong("registry", explain.Errorf("%q is not a valid registry", explain.Clip(a.Registry)).WithHint(`write, for example, "ghcr.io/owner/shop", without https://`))
			}
		}
		if a.SBOM.scanner != "" {
			c.wrong("sbom", checkImage(a.SBOM.scanner))
		}
		if n := a.BuildParallelism; n < 1 || n > 1000 {
			c.wrong("build_parallelism", explain.Errorf("want 1 to 1000, got %d", n))
		}
		if n := a.DeployParallelism; n < 1 || n > 1000 {
			c.wrong("deploy_parallelism", explain.Errorf("want 1 to 1000, got %d", n))
		}
		if s.Pipeline != nil {
			c.reject(c.Pos(), explain.Errorf("it is called twice"), plan.Related{Pos: s.Pipeline.Pos, Message: "called first here"})
			return starlark.None, nil
		}
		s.Pipeline = &plan.Pipeline{
			Name: a.Name, Namespace: a.Namespace, Registry: a.Registry, BuildParallelism: a.BuildParallelism, DeployParallelism: a.DeployParallelism,
			SBOM: a.SBOM.scanner, NoSBOM: a.SBOM.off, BuildAhead: a.BuildAhead, AllowContexts: a.AllowContexts, Pos: c.Pos(),
		}
		if a.Sign != nil {
			s.Pipeline.Sign = &a.Sign.plan
		}
		if a.Scan != nil {
			s.Pipeline.Scan = &a.Scan.plan
		}
		if len(a.Verify) > maxRules {
			c.wrong("verify", explain.Errorf("want %d rules at most, got %d", maxRules, len(a.Verify)))
			a.Verify = nil
		}
		for _, rule := range a.Verify {
			s.Pipeline.Verify = append(s.Pipeline.Verify, rule.plan)
		}
		if c.Valid("name") {
			c.namespace()
		}
		return starlark.None, nil
	})

type requireVersionArgs struct {
	Constraint string `arg:"constraint" help:"such as \">=0.3, <2\""`
}

var requireVersionFunc = define("require_version", "None",
	"Requires a version of pipe. It is checked first, so that an older pipe reports its version instead of an unknown name.",
	func(c *Call, a *requireVersionArgs) (starlark.Value, error) {
		if err := c.Session.Meter.Charge(constraintSteps); err != nil {
			return nil, err
		}
		if err := CheckVersion(a.Constraint, c.Session.Version); err != nil {
			return nil, c.Reject("constraint", problemOf(err))
		}
		return starlark.None, nil
	})

// maxConstraint is the maximum length of a version constraint in bytes.
const maxConstraint = 500

// CheckVersion returns an error if version does not satisfy the constraint. A string that
// is not a valid version, as in a development build, satisfies every constraint.
func CheckVersion(constraint, version string) error {
	want, err := semver.NewConstraint(constraint[:min(len(constraint), maxConstraint)])
	if err != nil || len(constraint) > maxConstraint {
		return &explain.Error{Msg: fmt.Sprintf("%q is not a valid version constraint", explain.Clip(constraint)), Hint: `write, for example, ">=0.3" or ">=0.3, <2"`}
	}
	// A build after a version, as git describe names it, is not before that version.
	described := regexp.MustCompile(`(-[0-9]+-g[0-9a-f]+)?(-dirty)?$`)
	have, err := semver.NewVersion(described.ReplaceAllString(version, ""))
	if err != nil || want.Check(have) {
		return nil
	}
	return &explain.Error{
		Msg:  fmt.Sprintf("this Pipelinefile needs pipe %s, and this is pipe %s", constraint, version),
		Hint: "install a version that satisfies it",
	}
}

func problemOf(err error) *explain.Error {
	p := &explain.Error{Msg: err.Error()}
	if h, ok := err.(*explain.Error); ok { //nolint:errorlint // made above, never wrapped
		p.Hint, p.Suggest = h.Hint, h.Suggest
	}
	return p
}

type messageArgs struct {
	Message []starlark.Value `arg:"*message" help:"what to say; several values are joined by spaces"`
	Sep     string           `arg:"sep,kw" default:"\" \"" help:"separates them"`
}

func (a *messageArgs) text() string {
	parts := make([]string, len(a.Message))
	for i, v := range a.Message {
		if s, ok := starlark.AsString(v); ok {
			parts[i] = s
		} else {
			parts[i] = v.String()
		}
	}
	return strings.Join(parts, a.Sep)
}

var warnFunc = define("warn", "None", "Adds a warning to the plan.",
	func(c *Call, a *messageArgs) (starlark.Value, error) {
		c.Session.Report(plan.Diagnostic{Severity: plan.SeverityWarning, Pos: c.Pos(), Message: a.text(), Stack: c.Session.Stack(c.Thread)})
		return starlark.None, nil
	})

var failFunc = define("fail", "None", "Ends evaluation with a message.",
	func(c *Call, a *messageArgs) (starlark.Value, error) {
		msg := a.text()
		if msg == "" {
			msg = "fail"
		}
		return nil, &explain.Error{Msg: msg}
	})
