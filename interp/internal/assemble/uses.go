package assemble

import (
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/builtins"
)

// maxAddress is the maximum length in bytes of strings that are searched for addresses.
const maxAddress = 4096

// uses records for each service which others it reaches: those whose host occurs in an
// address in its configuration, and those whose .host or .url the file has read and whose
// name occurs alone where an address may. A name whose host is never read is an ordinary
// word.
func uses(services []*builtins.Service) {
	byName := make(map[string]*builtins.Service, len(services))
	for _, s := range services {
		byName[s.Plan.Name] = s
	}
	for _, s := range services {
		var found []string
		look := func(text string) {
			if len(text) > maxAddress {
				return
			}
			for word := range strings.FieldsFuncSeq(text, betweenAddresses) {
				name := hostIn(word)
				if name == "" && byName[word] != nil && byName[word].HostRead() {
					name = word
				}
				if byName[name] != nil && name != s.Plan.Name {
					found = append(found, name)
				}
			}
		}
		w := &s.Plan.Workload
		for _, env := range w.Env {
			look(env.Value)
		}
		for _, f := range w.Files {
			look(f.Text)
		}
		for _, text := range slices.Concat(w.Command, w.Args) {
			look(text)
		}
		for _, of := range w.PodContainers.All() {
			for _, env := range of.Env {
				look(env.Value)
			}
			for _, text := range slices.Concat(of.Command, of.Args) {
				look(text)
			}
		}
		if w.Health != nil {
			for _, text := range w.Health.Command {
				look(text)
			}
		}
		eachText(map[string]any(s.Plan.Values), look)
		slices.Sort(found)
		s.Plan.Uses = slices.Compact(found)
	}
}

// betweenAddresses reports whether r delimits an address in a string, as in "a:80,b:80",
// "--upstream=a" or {"url": "http://a"}.
func betweenAddresses(r rune) bool {
	switch r {
	case ' ', '\t', '\r', '\n', ',', ';', '|', '&', '=', '"', '\'', '`', '(', ')', '{', '}', '[', ']', '<', '>':
		return true
	}
	return false
}

// hostIn returns the host of an address such as "http://api:8080/v1" or "api:8080", or ""
// for other strings.
func hostIn(word string) string {
	_, rest, url := strings.Cut(word, "://")
	if !url {
		rest = word
	}
	rest, _, _ = strings.Cut(rest, "/")
	rest = rest[strings.LastIndex(rest, "@")+1:]
	host, port, hasPort := strings.Cut(rest, ":")
	if !url && (!hasPort || strings.Trim(port, "0123456789") != "") {
		return ""
	}
	return host
}

// eachText calls f with each string in a value of a chart.
func eachText(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case []any:
		for _, x := range v {
			eachText(x, f)
		}
	case map[string]any:
		for _, x := range v {
			eachText(x, f)
		}
	}
}
