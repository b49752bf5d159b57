package explain

import (
	"fmt"
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

// IsGitURL reports whether text is the URL of a git repository, or its address as SSH has
// it, such as git@host:path.
func IsGitURL(text string) bool {
	if strings.ContainsAny(text, " \t\n\r\f") {
		return false
	}
	switch scheme, rest, _ := strings.Cut(text, "://"); scheme {
	case "https", "http", "ssh", "git":
		host, path, _ := strings.Cut(rest, "/")
		return host != "" && path != ""
	}
	user, rest, _ := strings.Cut(text, "@")
	host, path, _ := strings.Cut(rest, ":")
	return consists(user, isHostByte) && consists(host, isHostByte) && path != ""
}

func isHostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '-' || c == '.' || c == '_'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// IsDecimal reports whether text is a decimal number of at most that many digits.
func IsDecimal(text string, most int) bool { return len(text) <= most && consists(text, isDigit) }

// consists reports whether text is not empty and consists of such bytes.
func consists(text string, of func(byte) bool) bool {
	for i := range len(text) {
		if !of(text[i]) {
			return false
		}
	}
	return text != ""
}

// Meant returns what to write instead of the string text where a value of another type is
// expected.
func Meant(typ, text string) string {
	switch {
	case typ == "secret": // text may be the value itself, which no message repeats
		return `write secret("NAME"); the Pipelinefile never contains the value, which a run takes from --secrets`
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
	case typ == "port" && publishes(text) != "":
		return publishes(text)
	case typ == "volume" && strings.HasPrefix(text, "/"):
		return fmt.Sprintf(`write volume(%q, size = "10Gi")`, text)
	case typ == "int" && IsDecimal(text, 9):
		return "write " + text + " without quotes"
	case typ == "port" && IsDecimal(text, 9):
		return "write " + text + " without quotes"
	}
	return ""
}

// publishes returns what to write for a port as Compose publishes it, [[IP:][PORT]:]PORT
// and perhaps /tcp or /udp: of the host and of the container. It returns "" for other
// strings.
func publishes(text string) string {
	text, udp := strings.CutSuffix(text, "/udp")
	if !udp {
		text = strings.TrimSuffix(text, "/tcp")
	}
	parts := strings.Split(text, ":")
	container, host := parts[len(parts)-1], ""
	if len(parts) > 1 {
		host = parts[len(parts)-2]
	}
	if len(parts) > 3 || !IsDecimal(container, 5) || host != "" && !IsDecimal(host, 5) ||
		len(parts) == 3 && (len(parts[0]) < 7 || len(parts[0]) > 15 || strings.Trim(parts[0], "0123456789.") != "") {
		return ""
	}
	if udp { // UDP cannot be forwarded
		return "write port(" + container + `, protocol = "UDP")`
	}
	if host == "" {
		return "write port(" + container + ")"
	}
	return fmt.Sprintf("write port(%s, local = %s): the container listens on %s, and pipe forward opens it at %s of this machine; port(%s, public = True) makes an Ingress", container, host, container, host, container)
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
