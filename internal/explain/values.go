package explain

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// examples are values of the types for which other tools use lists and dicts.
var examples = map[string]string{
	"port": "port(8080)", "port | int": "port(8080)", "volume": `volume("/data", size = "10Gi")`, "sync": `sync("src", "/app/src")`,
	"resources": `resources(cpu = "500m", memory = "256Mi")`, "health": `http("/healthz"), tcp() or command("program")`,
	"build": `dockerfile(file = "Dockerfile")`, "source": `local("directory")`, "chart": `chart("directory")`,
	"str or image": `"name:tag"`, "dict[str, str]": `{"name": "value"}`, "dict": `{"key": "value"}`,
}

// Example returns a value of a type for which other tools use a list or a dict, or "".
func Example(typ string) string { return examples[typ] }

// IsGitURL reports whether text is the URL of a git repository.
func IsGitURL(text string) bool { return gitURL.MatchString(text) }

var gitURL = regexp.MustCompile(`^((https?|ssh|git)://[^\s/]+/\S+|[-\w.]+@[-\w.]+:\S+)$`)

// Meant returns what to write instead of the string text where a value of another type is
// expected.
func Meant(typ, text string) string {
	switch {
	case len(text) > 100:
	case typ == "dict" && strings.HasSuffix(text, "aml"):
		return fmt.Sprintf("write read_yaml(%q)", text)
	case typ == "list[str]":
		return "write [" + Literals(ShellWords(text)) + "]"
	case strings.HasPrefix(typ, "list["):
		return fmt.Sprintf("write [%q]", text)
	case typ == "source" && IsGitURL(text):
		return fmt.Sprintf("write git(%q)", text)
	case typ == "source":
		return fmt.Sprintf("write local(%q)", text)
	case typ == "chart":
		return fmt.Sprintf("write chart(%q)", text)
	case typ == "build":
		return fmt.Sprintf("write dockerfile(file = %q)", text)
	case typ == "health" && strings.HasPrefix(text, "/"):
		return fmt.Sprintf("write http(%q)", text)
	case typ == "volume" && strings.Contains(text, ":"):
		return mounted(text)
	case typ == "sync" && strings.Contains(text, ":"):
		from, to, _ := strings.Cut(text, ":")
		return fmt.Sprintf("write sync(%q, %q)", from, to)
	case typ == "port" && published.MatchString(text):
		return publishes(text)
	case typ == "volume" && strings.HasPrefix(text, "/"):
		return fmt.Sprintf(`write volume(%q, size = "10Gi")`, text)
	case typ == "int" && intText.MatchString(text):
		return "write " + text + " without quotes"
	case typ == "port" && intText.MatchString(text):
		return "write " + text + " without quotes"
	}
	return ""
}

// published matches a port as Compose publishes it: of the host and of the container.
var published = regexp.MustCompile(`^(?:(?:[0-9.]{7,15}:)?([0-9]{1,5})?:)?([0-9]{1,5})(/tcp|/udp)?$`)

// publishes returns what to write for a port in the syntax of Compose.
func publishes(text string) string {
	m := published.FindStringSubmatch(text)
	if m[3] == "/udp" { // UDP cannot be forwarded
		return "write port(" + m[2] + `, protocol = "UDP")`
	}
	if m[1] == "" {
		return "write port(" + m[2] + ")"
	}
	return fmt.Sprintf("write port(%s, local = %s): the container listens on %s, and pipe forward opens it at %s of this machine; port(%s, public = True) makes an Ingress", m[2], m[1], m[2], m[1], m[2])
}

// mounted returns what to write for a volume in the syntax of Compose.
func mounted(text string) string {
	source, rest, _ := strings.Cut(text, ":")
	target, _, _ := strings.Cut(rest, ":")
	if source == "" || strings.ContainsAny(source[:1], "./~$") {
		return fmt.Sprintf(`nothing of this machine is mounted: COPY %s in the Dockerfile, which sync= keeps up to date in watch mode, or write volume(%q, size = "10Gi") for storage that starts empty and stays`, source, target)
	}
	return fmt.Sprintf(`write volume(%q, name = %q, size = "10Gi")`, target, source)
}

// ShellWords splits a shell command line into a program and its arguments.
func ShellWords(line string) []string {
	if strings.ContainsAny(line, `'"|&;<>$`) {
		return []string{"sh", "-c", line}
	}
	return strings.Fields(line)
}

// Literals returns the strings as Starlark literals, separated by commas.
func Literals(texts []string) string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = strconv.Quote(t)
	}
	return strings.Join(out, ", ")
}

var intText = regexp.MustCompile(`^[0-9]{1,9}$`)
