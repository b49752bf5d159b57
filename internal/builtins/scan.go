package builtins

import (
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A Scan is the value of scan().
type Scan struct {
	opaque
	plan plan.Scan
}

// String returns "scan(…)".
func (s *Scan) String() string { return "scan(…)" }

// Type returns "scan".
func (s *Scan) Type() string { return "scan" }

// Instead says where a scan can be used.
func (s *Scan) Instead(string) string { return "write it as scan = of pipeline()" }

type scanArgs struct {
	Image   string            `arg:"image" help:"the image of the scanner, by digest, such as \"registry.example.com/trivy@sha256:…\""`
	Command []string          `arg:"command" help:"the program in that image and its arguments; $(PIPE_ROOTFS) is the directory with the files of the image to scan, $(PIPE_REPORT) the file to write, $(PIPE_CACHE) a directory that the builder keeps; no shell"`
	Max     string            `arg:"max,kw" choices:"none|low|medium|high|critical" help:"the highest severity that may be deployed: a finding above it stops the deploy"`
	Every   durationArg       `arg:"every,kw" default:"\"24h\"" help:"after which time an image is scanned again"`
	Ignore  []*Exception      `arg:"ignore,kw" default:"[]" help:"vulnerabilities that may be deployed until a date: a list of exception()"`
	Env     map[string]string `arg:"env,kw" default:"{}" help:"the environment of the program, besides that of its image, PIPE_ROOTFS, PIPE_REPORT and PIPE_CACHE, which can be in the values as in command="`
}

// maxExceptions is how many vulnerabilities can be ignored.
const maxExceptions = 1000

var scanFunc = declare("scan", "scan", "Describes how images are scanned for vulnerabilities before they are deployed, for `scan=` of pipeline(). The scanner writes SARIF 2.1.0, or CycloneDX 1.4 to 1.6 as JSON.",
	func(c *Call, a *scanArgs) (starlark.Value, error) {
		if c.Valid("image") {
			c.wrong("image", checkScanner(a.Image))
		}
		switch {
		case !c.Valid("command"):
		case len(a.Command) == 0 || a.Command[0] == "":
			c.wrong("command", explain.Errorf("names no program").WithHint(`write, for example, ["trivy", "rootfs", "--format", "sarif", "--output", "$(PIPE_REPORT)", "$(PIPE_ROOTFS)"]`))
		case len(a.Command) == 1 && strings.ContainsRune(a.Command[0], ' '):
			c.wrong("command", explain.Errorf("%q is a program and its arguments in one string", explain.Clip(a.Command[0])).WithHint("write [%s]", explain.Clip(explain.Literals(explain.ShellWords(a.Command[0])))))
		}
		for i, arg := range a.Command {
			if strings.ContainsRune(arg, 0) {
				c.wrong("command", explain.Errorf("contains a NUL byte").In(i))
			}
		}
		if c.Valid("max") {
			c.wrong("max", c.choice("max", a.Max))
		}
		c.environ(a.Env)
		if len(a.Ignore) > maxExceptions {
			c.wrong("ignore", explain.Errorf("want %d exceptions at most, got %d", maxExceptions, len(a.Ignore)))
			a.Ignore = nil
		}
		s := &Scan{plan: plan.Scan{Image: a.Image, Command: a.Command, Env: a.Env, Max: plan.Risk(a.Max), Every: plan.Duration(a.Every), Pos: c.Pos()}}
		for _, e := range a.Ignore {
			s.plan.Ignore = append(s.plan.Ignore, e.plan)
		}
		return s, nil
	})

// checkScanner checks the reference of the image of a scanner.
func checkScanner(ref string) *explain.Error {
	if p := checkImage(ref); p != nil {
		return p
	}
	if _, _, digest := plan.CutImage(ref); digest == "" {
		return explain.Errorf("%q names the scanner by its tag, which can move", explain.Clip(ref)).WithHint("write its digest, %q: docker buildx imagetools inspect shows it", explain.Clip(ref)+"@sha256:…")
	}
	return nil
}

// An Exception is the value of exception().
type Exception struct {
	opaque
	plan plan.Exception
}

// String returns "exception(…)".
func (e *Exception) String() string { return "exception(…)" }

// Type returns "exception".
func (e *Exception) Type() string { return "exception" }

// Instead says where an exception can be used.
func (e *Exception) Instead(string) string { return "write ignore = [exception(…)] of scan()" }

type exceptionArgs struct {
	ID     string `arg:"id" help:"the identifier of the vulnerability, such as \"CVE-2026-12345\""`
	Reason string `arg:"reason,kw" help:"why it may be deployed"`
	Until  string `arg:"until,kw" help:"the last day on which it is ignored, in UTC, such as \"2027-01-31\""`
}

// Limits of an exception, in bytes.
const (
	maxFindingID = 200
	maxReason    = 1000
)

var exceptionFunc = declare("exception", "exception", "Ignores a vulnerability until a date, for `ignore=` of scan(). After that day it has no effect, and runs warn about it.",
	func(c *Call, a *exceptionArgs) (starlark.Value, error) {
		if c.Valid("id") && (a.ID == "" || len(a.ID) > maxFindingID || strings.ContainsFunc(a.ID, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '*' })) {
			c.wrong("id", explain.Errorf("%q is not the identifier of a vulnerability", explain.Clip(a.ID)).WithHint(`write, for example, "CVE-2026-12345"`))
		}
		if c.Valid("reason") && strings.TrimSpace(a.Reason) == "" {
			c.wrong("reason", explain.Errorf("is empty").WithHint("write why the vulnerability may be deployed"))
		}
		if len(a.Reason) > maxReason {
			c.wrong("reason", explain.Errorf("has %d bytes, at most %d are possible", len(a.Reason), maxReason))
		}
		if c.Valid("until") {
			if _, err := time.Parse(time.DateOnly, a.Until); err != nil {
				c.wrong("until", explain.Errorf("%q is not a date", explain.Clip(a.Until)).WithHint(`write, for example, "2027-01-31"`))
			}
		}
		return &Exception{plan: plan.Exception{ID: a.ID, Reason: a.Reason, Until: a.Until, Pos: c.Pos()}}, nil
	})
