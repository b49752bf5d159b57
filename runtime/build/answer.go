package build

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// A registryAnswer is why a registry did not send or accept a part of an image. The builder passes it
// on as a string.
type registryAnswer struct {
	why  string // in one line
	next string // what to do
	away bool   // the registry did not answer
	full bool   // it has no space left
}

func (a registryAnswer) String() string {
	return a.why + ": " + a.next
}

// advice returns what to do besides correcting what was asked for.
func (a registryAnswer) advice() string {
	switch {
	case a.full:
		return "make room on the disk of the registry and run again"
	case a.away:
		return "run again when it can be reached"
	}
	return ""
}

var (
	// request is how errors of connections begin. The URL may be signed.
	request = regexp.MustCompile(`failed to do request: \w+ "[^"]*": `)
	// status is how errors of HTTP begin: the code follows, and what the registry says about it.
	status = regexp.MustCompile(`unexpected status from \w+ request to \S+: `)
	// answerCode matches the codes of the registry's errors, which come without the status.
	answerCode = regexp.MustCompile(`^(denied|unauthorized|toomanyrequests)(: |$)`)
	// copying are the prefixes of transfers.
	copying = regexp.MustCompile(`^(error writing \w+ blob: |failed commit on ref "[^"]*": |failed to copy: |httpReadSeeker: |failed open: |failed to authorize: |failed to fetch [\w ]*token: )+`)
)

// silence is in the error of the embedded builder for a registry that sends nothing, see package stall.
const silence = "has sent nothing for "

// The words by which the causes are recognized: BuildKit passes errors on as strings. Those of registries
// are their codes of errors.
var (
	denied  = []string{"401 Unauthorized", "403 Forbidden", "insufficient_scope", "access denied", "authorization failed", "no basic auth credentials"}
	limited = []string{"429 Too Many Requests"}
	noRoom  = []string{"507 Insufficient Storage", "no space left", "is full", "disk full", "quota exceeded"}
	cut     = []string{"EOF", "connection reset by peer", "broken pipe", "416 Requested Range Not Satisfiable"}
	silent  = []string{silence}
	other   = []string{"unexpected commit digest", "invalid content digest"}
)

// readAnswer describes the error of a request to a registry.
func readAnswer(host, text string) registryAnswer {
	has := func(words []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	var a registryAnswer
	why := copying.ReplaceAllString(text, "")
	if at := request.FindStringIndex(why); at != nil {
		a.away, why = true, why[at[1]:]
	}
	if at := status.FindStringIndex(why); at != nil {
		// The body of the answer is on the lines after the code.
		code, said, _ := strings.Cut(why[at[1]:], "\n")
		why = fmt.Sprintf("registry %s returned %s", host, code)
		if said = strings.TrimSpace(said); said != "" {
			why += " (" + said + ")"
		}
	}
	a.why = strings.Join(strings.Fields(why), " ")
	code := ""
	if m := answerCode.FindStringSubmatch(a.why); m != nil {
		code = m[1]
		a.why = fmt.Sprintf("registry %s returned an error (%s)", host, a.why)
	}
	switch {
	case has(noRoom):
		a.full, a.next = true, "free some space, or raise its quota"
	case has(limited), code == "toomanyrequests":
		a.next = loginHint(host) + ", or try again later"
	case has(denied), code != "":
		a.next = loginHint(host)
	case has(other):
		a.why, a.next = fmt.Sprintf("registry %s serves other content than the digest says", host), "the image is damaged there: push it again, or use another image"
	case has(silent):
		a.why, a.away, a.next = fmt.Sprintf("registry %s does not respond", host), true, "check the network and its address"
	case has(cut):
		a.why, a.away, a.next = fmt.Sprintf("registry %s ends its connections too early", host), true, "try again, or ask its operator"
	case a.away:
		a.why, a.next = fmt.Sprintf("registry %s cannot be reached: %s", host, a.why), "check that it is running, and its address"
	default:
		a.next = "try again, or ask the operator of the registry"
	}
	return a
}

// accessHint returns what to do if a registry denies access.
func accessHint(why, host string) string {
	if slices.ContainsFunc(denied, func(w string) bool { return strings.Contains(why, w) }) {
		return loginHint(host)
	}
	return ""
}

func loginHint(host string) string { return "log in with 'docker login " + host + "'" }

// hostOf returns the registry of an image.
func hostOf(image string) string {
	host, _, _ := strings.Cut(plan.FullName(image), "/")
	return host
}
