package build

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// explain turns an error of BuildKit into one that says what is wrong in terms of the build.
// It is a *runtime.BuildError if the source of the build is wrong.
func explain(err error, j job, p *progress) error {
	var gone *UnreachableError
	if errors.As(err, &gone) {
		return err
	}
	text := p.hide(plain(err).Error())
	var exit *gatewaypb.ExitError
	var frontend *errdefs.FrontendError
	switch {
	case errors.As(err, &exit):
		b := j.buildError(err, p, nil)
		b.Err = &cause{exitText(exit, b.Log), err}
		return b
	case pushError.MatchString(text):
		said := readAnswer(hostOf(j.ref), pushError.FindStringSubmatch(text)[1])
		failed := &cause{fmt.Sprintf("push the image to %s: %s", j.ref, said), &unpushed{err, said.away}}
		if do := said.advice(); do != "" {
			return runtime.Advise(failed, runtime.Advice{Do: do})
		}
		return failed
	case strings.Contains(text, "no space left on device"):
		full := &cause{fmt.Sprintf("build %s: the disk of the builder is full (%s): free some space there", j.spec.ID, text), err}
		return runtime.Advise(full, runtime.Advice{Do: "make room on the disk of the builder and run again"})
	}
	words, advice := sourceText(p.ofBase(text))
	said := &cause{words, err}
	advised := func(err error) error {
		if advice == "" {
			return err
		}
		return runtime.Advise(err, runtime.Advice{Do: advice})
	}
	switch {
	case transient(err):
		// For example a registry that does not answer: the source of the build is not wrong.
		b := j.buildError(err, p, said)
		if b.Step != "" {
			return advised(&cause{fmt.Sprintf("%s: %s: %s", b.Pos, b.Step, said.text), err})
		}
		return advised(said)
	case len(errdefs.Sources(err)) > 0, errors.As(err, &frontend):
		return advised(j.buildError(err, p, said))
	}
	return &cause{fmt.Sprintf("build %s: %s", j.spec.ID, said.text), err}
}

// An unpushed is the error of a push.
type unpushed struct {
	error
	away bool // the registry did not answer
}

func (e *unpushed) Unwrap() error { return e.error }

// A cause is an error with a different text.
type cause struct {
	text string
	err  error
}

func (e *cause) Error() string { return e.text }
func (e *cause) Unwrap() error { return e.err }

// buildError adds the position in the Dockerfile that err comes from.
func (j job) buildError(err error, p *progress, said error) *runtime.BuildError {
	b := &runtime.BuildError{Err: said, Pos: plan.Pos{File: path.Join(j.spec.Source.Path, j.spec.Dockerfile)}, Log: p.logOf(err)}
	for _, s := range errdefs.Sources(err) {
		// Each range is one line.
		start, end := 0, 0
		for _, r := range s.Ranges {
			if n := int(r.GetStart().GetLine()); n > 0 && (start == 0 || n < start) {
				start = n
			}
			end = max(end, int(r.GetStart().GetLine()), int(r.GetEnd().GetLine()))
		}
		if start > 0 {
			b.Pos.Line = start
			b.Step = p.hide(instruction(strings.Split(string(s.GetInfo().GetData()), "\n"), start, end))
			break
		}
	}
	return b
}

// logOf returns the end of the output of the step that err comes from.
func (p *progress) logOf(err error) []string {
	var vertex *errdefs.VertexError
	if errors.As(err, &vertex) {
		if s := p.steps[digest.Digest(vertex.Digest)]; s != nil {
			return s.tail
		}
	}
	return nil
}

// instruction joins the lines of an instruction, without line continuations and comments.
func instruction(lines []string, start, end int) string {
	var parts []string
	for n := start; n <= end && n <= len(lines); n++ {
		line := strings.TrimSpace(strings.TrimRight(strings.TrimSpace(lines[n-1]), "\\"))
		if line != "" && !strings.HasPrefix(line, "#") {
			parts = append(parts, line)
		}
	}
	text := strings.Join(parts, " ")
	const long = 200
	if r := []rune(text); len(r) > long {
		text = string(r[:long]) + "…"
	}
	return text
}

// noProgram matches what runc prints if the program to run is not in the image.
var noProgram = regexp.MustCompile(`exec: "([^"]+)": (stat .*no such file or directory|executable file not found)`)

// exitText describes how a command ended, and why, if its output says so.
func exitText(e *gatewaypb.ExitError, log []string) string {
	if n := len(log); n > 0 {
		if m := noProgram.FindStringSubmatch(log[n-1]); m != nil && m[1] == "/bin/sh" {
			return "the image has no shell, /bin/sh: use a base image that has one, or COPY what was made in another stage"
		} else if m != nil {
			return "the image has no program " + m[1]
		}
		if strings.HasSuffix(log[n-1], ": exec format error") {
			return "its program is for another platform than that of the builder: use images for that platform, " +
				"install QEMU for the other one where the builder runs, or build there with a builder of that platform"
		}
	}
	switch {
	case e.ExitCode == gatewaypb.UnknownExitStatus && e.Err != nil && e.Err.Error() != "":
		return "the command could not be run: " + e.Err.Error()
	case e.ExitCode == 137:
		return "exit status 137: the command was killed, which happens when it takes more memory than a build may have"
	case e.ExitCode == 127:
		return "exit status 127: a command was not found in the image"
	}
	return fmt.Sprintf("exit status %d", e.ExitCode)
}

var (
	parseError = regexp.MustCompile(`^dockerfile parse error on line \d+: `)
	noTarget   = regexp.MustCompile(`^target stage (".*") could not be found$`)
	metadata   = regexp.MustCompile(`(?s)failed to resolve source metadata for (\S+): (.*)$`)
	checksum   = regexp.MustCompile(`failed to calculate checksum of ref \S+: "(.*)": not found$`)
	stageStep  = regexp.MustCompile(`^\[(.*?)\d+/\d+\](?: FROM (\S+?)(?:@sha256:[0-9a-f]+)?$)?`)
	pushError  = regexp.MustCompile(`(?s)^failed to push \S+: (.*)$`)
)

// tagLookup is what BuildKit adds to the error of a lookup that [sources] has requested.
const tagLookup = "could not resolve image due to policy: error resolving source metadata from policy request: "

// sourceText describes in plain words what is wrong with the source of a build, and what to
// do if correcting the Dockerfile is not enough.
func sourceText(text string) (words, advice string) {
	text = parseError.ReplaceAllString(text, "")
	if m := checksum.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%s is not there: it is not in the build context, or a line of .dockerignore leaves it out", m[1]), ""
	}
	if m := noTarget.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("the Dockerfile has no stage %s, which target= of dockerfile() names", m[1]), ""
	}
	m := metadata.FindStringSubmatch(text)
	if m == nil {
		return text, ""
	}
	image, why := m[1], m[2]
	for _, before := range []string{image + ": ", tagLookup, image + ": "} {
		why = strings.TrimPrefix(why, before)
	}
	if why == "not found" {
		return fmt.Sprintf("there is no image %s: check its name and tag", image), ""
	}
	return fmt.Sprintf("the image %s cannot be pulled: %s", image, readAnswer(hostOf(image), why)),
		"correct the name of that image, or run again when its registry can be reached"
}

// noLayer begins the error of a step that needs a layer of a base image.
const noLayer = "failed to compute cache key: "

// ofBase adds to the error of a layer that cannot be pulled which image it is of, as in the
// errors of lookups. BuildKit reports such an error for the step that needs the layer.
func (p *progress) ofBase(text string) string {
	why, ok := strings.CutPrefix(text, noLayer)
	if !ok {
		return text
	}
	images, stage := map[string]string{}, "" // the images by stage, and the stage of the step
	for _, s := range p.steps {
		m := stageStep.FindStringSubmatch(s.name)
		switch {
		case m == nil:
		case m[2] != "":
			images[m[1]] = m[2]
		case s.failed != "" && strings.HasSuffix(text, s.failed):
			stage = m[1]
		}
	}
	if image := images[stage]; image != "" {
		return "failed to resolve source metadata for " + image + ": " + why
	}
	return text
}

// noise matches prefixes that are of no use to the reader.
var noise = []*regexp.Regexp{
	regexp.MustCompile(`^failed to solve: `),
	regexp.MustCompile(`^failed to (call info|list workers): `),
	regexp.MustCompile(`^Unavailable: `),
	regexp.MustCompile(`^rpc error: code = \w+ desc = `),
	regexp.MustCompile(`^failed to dial "[^"]*" \. make sure buildkitd is running: `),
	regexp.MustCompile(`^connection error: desc = "?`),
	regexp.MustCompile(`^transport: Error while dialing:? ?`),
	regexp.MustCompile(`^transport: `),
	regexp.MustCompile(`^error reading server preface: `),
	regexp.MustCompile(`^command \[.*?\] has exited with .*?, make sure the URL is valid, and Docker [\d.]+ or later is installed on the remote host: stderr=`),
}

// plain returns err without the noise that libraries add.
func plain(err error) error {
	text := err.Error()
	for again := true; again; {
		again = false
		if quoted, ok := strings.CutPrefix(text, "connection error: desc = "); ok {
			if unquoted, err := strconv.Unquote(quoted); err == nil {
				text = unquoted
			}
		}
		for _, n := range noise {
			if loc := n.FindStringIndex(text); loc != nil && loc[1] > 0 {
				text, again = strings.TrimSpace(text[loc[1]:]), true
				break
			}
		}
	}
	if strings.Count(text, `"`)%2 == 1 { // its opening quote was in the noise
		text = strings.TrimSuffix(text, `"`)
	}
	if first, rest, ok := strings.Cut(text, ": "); ok {
		// A base image is mentioned twice.
		if strings.HasPrefix(rest, "failed to resolve source metadata for "+first) {
			text = rest
		}
	}
	if text == err.Error() {
		return err
	}
	return &cause{text, err}
}
