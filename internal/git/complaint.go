package git

import (
	"strings"
	"unicode/utf8"

	"github.com/pipelinefile/pipe/internal/redact"
)

// Complaint returns the error message of git, which ended with err, from its standard
// error, on one line and without credentials. If git reports only that it could not read
// from a server, Complaint returns the preceding message of ssh instead; if only that git-lfs
// failed, it adds the first error of that.
func Complaint(stderr string, err error) string {
	var lines []string
	other := "" // the last line that git itself did not print
	lfs := ""   // the first error of git-lfs
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		rest, ok := strings.CutPrefix(line, "fatal: ")
		if ok && other != "" && strings.HasPrefix(rest, "Could not read from remote repository") {
			rest = other
		}
		if ok && lfs != "" && strings.HasSuffix(rest, "smudge filter lfs failed") {
			rest += ": " + lfs
		}
		switch {
		case ok:
			lines = append(lines, rest)
		case line != "" && len(lines) > 0 && strings.HasSuffix(lines[len(lines)-1], ":"): // the message goes on
			lines[len(lines)-1] += " " + line
		case lfs == "" && strings.HasPrefix(line, "Error "):
			lfs = line
		}
		if !ok && line != "" {
			other = line
		}
	}
	text := strings.Join(lines, "; ")
	if text == "" {
		text = strings.TrimSpace(stderr)
	}
	if text == "" || !utf8.ValidString(text) {
		text = err.Error()
	}
	if strings.Contains(text, "terminal prompts disabled") {
		text += ": the server requires a password: add it to one of git's credential helpers"
	}
	return redact.URLs(text)
}
