package build

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// The exit statuses of the lifecycle, see the platform specification of Cloud Native Buildpacks.
const (
	exitPlatformAPI    = 11
	exitBuildpackAPI   = 12
	exitNoDetection    = 20 // no group of buildpacks accepts the source
	exitDetectionError = 21 // as above, and a buildpack failed
	exitDetection      = 22 // the detection itself failed
	exitBuildpack      = 51 // a buildpack failed while it built
)

// A detection is what the lifecycle prints about the groups of buildpacks that it tries.
type detection struct {
	groups  [][]string // the buildpacks of each group, with their results
	reading bool       // the last line belongs to the last group
}

// Lines of the lifecycle, when no group has passed: a title for each group, and then its buildpacks.
var (
	groupTitle  = regexp.MustCompile(`^=+ Results =+$`)
	groupResult = regexp.MustCompile(`^(pass|fail|skip|err): +(\S+@\S+(?: \(\d+\))?)$`)
)

// watch returns a function that passes events on to emit, and reads them.
func (d *detection) watch(emit runtime.Emit) runtime.Emit {
	return func(b runtime.Body) {
		if line, ok := b.(runtime.Log); ok {
			d.line(strings.TrimSpace(line.Text))
		}
		emit(b)
	}
}

func (d *detection) line(text string) {
	m := groupResult.FindStringSubmatch(text)
	switch {
	case groupTitle.MatchString(text):
		d.groups, d.reading = append(d.groups, nil), true
	case m == nil:
		d.reading = false
	case d.reading:
		last := &d.groups[len(d.groups)-1]
		*last = append(*last, m[2]+" "+results[m[1]])
	}
}

// results are the results of the detection of a buildpack.
var results = map[string]string{"pass": "accepts it", "fail": "does not accept it", "skip": "does not accept it (optional)", "err": "fails"}

// String says which groups were tried.
func (d *detection) String() string {
	var tried []string
	for _, group := range d.groups {
		if len(group) > 0 {
			tried = append(tried, strings.Join(group, ", "))
		}
	}
	const most = 10
	more := ""
	if n := len(tried) - most; n > 0 {
		tried, more = tried[:most], fmt.Sprintf("; and %d more groups", n)
	}
	if len(tried) == 0 {
		return ""
	}
	return ": of the groups, " + strings.Join(tried, "; ") + more
}

// explainLifecycle turns an error of BuildKit, or of the lifecycle that it has run, into one that says what
// is wrong in terms of the build.
func (j job) explainLifecycle(err error, p *progress, tried *detection) error {
	var exit *gatewaypb.ExitError
	if !errors.As(err, &exit) {
		return explain(err, j, p)
	}
	builder := baseName(j.spec, plan.BuildpackBuilder)
	failed := &runtime.BuildError{Step: lifecycleStep + builder, Pos: j.spec.Pos, Log: p.logOf(err)}
	source := j.spec.Source.Path
	if j.spec.Source.Git != "" {
		source = "the repository"
	}
	text, next := "", ""
	switch exit.ExitCode {
	case exitPlatformAPI:
		text, next = "the lifecycle does not support the version of the platform API that the labels of the builder name", "use another version of the builder"
	case exitBuildpackAPI:
		text, next = "the lifecycle does not support the version of the buildpack API of one of its buildpacks", "use another version of the builder"
	case exitNoDetection, exitDetectionError:
		text = "no buildpack accepts " + source + tried.String()
		if next = "name the directory that the buildpacks look for with source = local(…), or a builder that has buildpacks for it"; exit.ExitCode == exitDetectionError {
			text, next = text+"; at least one failed", "read its output in the log of the build, and correct the source, or env= of buildpack()"
		}
	case exitDetection:
		text, next = "the lifecycle failed while it looked for buildpacks that accept "+source, "read its output in the log of the build; the builder may need image extensions, which pipe does not support"
	case exitBuildpack:
		text, next = "a buildpack failed", "correct the source, or env= of buildpack(), as its output says"
	default:
		text, next = exitText(exit, failed.Log), "read the output of the lifecycle in the log of the build"
	}
	failed.Err = &cause{text, err}
	return runtime.Advise(failed, runtime.Advice{Do: next + ", and run again"})
}
