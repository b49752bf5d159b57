package initialize

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// A project is the result of a reader, in the terms of a Pipelinefile.
type project struct {
	name      string
	from      string // the source, for messages
	namespace string // of an environment; empty: the default one
	services  []*service
	about     []string // comments that are not about a loss
	notes     []string // notes that are about no service
	supply    []string // notes about Secrets, printed at the top
	disks     []string // named volumes that several services mount
}

// A service becomes one call of a builtin.
type service struct {
	name string // the name in the source, until names are assigned
	kind plan.ServiceType

	about string // a comment that is not about a loss, such as the language

	namespace  string // of the release; "": that of the environment
	source     string // directory to build; "": not built
	file       string // Dockerfile, relative to the context; "": the default
	context    string // relative to the source; "": the default
	target     string
	args       []pair
	image      string
	latest     string // why the image has no version, if it has none
	chart      *chart
	manifests  []string         // files that are deployed as they are
	kustomize  string           // the directory of a kustomization that is deployed as it is
	objects    []map[string]any // the same for objects
	engine     string
	version    string
	storage    string
	database   string // its name in the server
	user       string
	schedule   string
	retries    int
	timeout    string
	ports      []port
	envFiles   []envFile
	env        []variable // with those of envFiles
	command    []string
	arguments  []string
	replicas   int // 0: not set
	resources  []pair
	health     *health
	volumes    []volume
	running    []pair // arguments about how it runs, as code
	files      []podFile
	rbac       []string // rules, as code
	closed     bool     // only the services of network may connect to it
	network    []*service
	pod        map[string]any // a patch of its pods, for what has no argument
	container  map[string]any // the same for its container
	init       []*service     // init containers; only what a container has
	sidecars   []*service
	mounts     []string // of a container: paths of the service
	values     map[string]any
	skip       bool
	skipIf     string   // the same, as code
	secrets    []string // those in values
	needs      []need
	stage      string
	stageRank  int
	notes      []string
	referenced bool // by a variable of another service: it is assigned to a name
	noReplicas bool // replicas = 0
}

type (
	pair struct{ name, value string }

	chart struct {
		ref, version, repo string
		files              []code
		unpinned           bool
	}
	port struct {
		number   int
		name     string
		protocol string
		public   bool
		host     string
		local    int
		service  int    // of the Kubernetes Service; 0: number
		kind     string // of the Kubernetes Service; empty: ClusterIP
		node     int
		path     string
	}
	health struct {
		kind    string // http, tcp, grpc, command
		path    string
		port    int
		command []string
		service string // of grpc
		headers map[string]any
		times   []pair // period, timeout, failures and delay, as code
	}
	volume struct {
		path, size, name string
		source           string // a named volume of the source
		disk             bool   // several services mount it: path is that of the disk source
		scratch, memory  bool   // an empty directory
	}

	// A need is a service that must run first.
	need struct {
		name string
		done bool // must have completed
	}

	// A variable has one of: a string, a secret, an attribute of a database.
	variable struct {
		name   string
		text   string
		secret string // its name; text is then the value in the source, which is never written
		key    string // in the Secret
		of     string // a database, by its name in the source
		attr   string // its attribute
		source string // a call of field() or config_map()
		file   string // the file of envFiles that contains it
	}

	// An envFile is a file that read_env() can read.
	envFile struct {
		name string
		vars map[string]string
	}
)

// note records what was not converted, why, and what to do.
func (s *service) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(s.notes, text) {
		s.notes = append(s.notes, text)
	}
}

func (p *project) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.notes, text) {
		p.notes = append(p.notes, text)
	}
}

func (p *project) service(name string) *service {
	for _, s := range p.services {
		if s.name == name {
			return s
		}
	}
	return nil
}

// value sets a key in the values of the chart.
func (s *service) value(key string, v any) {
	if s.values == nil {
		s.values = map[string]any{}
	}
	s.values[key] = v
}

// label converts a string to a DNS label of at most most characters that begins with a
// letter, like the names of Kubernetes Services.
func label(text string, most int) string {
	name := plan.NameFrom(text, most)
	if name != "" && name[0] <= '9' {
		return plan.NameFrom("s"+name, most)
	}
	return name
}

// unknown returns a placeholder for an unknown image.
func (s *service) unknown() string {
	if name := label(s.name, maxServiceName); name != "" {
		return name + ":VERSION"
	}
	return "image:VERSION"
}

// rename gives each service a valid and unique name.
func (p *project) rename() {
	taken, first := map[string]bool{}, map[string]string{}
	for _, s := range p.services {
		if label(s.name, maxServiceName) == s.name {
			taken[s.name] = true // keeps its name, even if others want it, too
		}
	}
	for _, s := range p.services {
		name := label(s.name, maxServiceName)
		if name != "" && name == s.name && first[name] == "" {
			first[name] = name
			continue
		}
		if name == "" {
			name = "service"
		}
		base := name
		for i := 2; taken[name]; i++ {
			name = fmt.Sprintf("%s-%d", strings.TrimRight(base[:min(len(base), maxServiceName-4)], "-"), i)
		}
		taken[name], first[name] = true, name
		if name != s.name {
			s.about = strings.TrimSpace(s.about + fmt.Sprintf(" Its name was %s: names must be unique, start with a letter, and have only lower-case letters, digits and hyphens. Its host is %s.", quoted(s.name), name))
			p.refer(s.name, name)
		}
		s.name = name
	}
}

// refer renames a service in all references to it.
func (p *project) refer(from, to string) {
	if from == to || from == "" {
		return
	}
	host := regexp.MustCompile(`(^|[/@,;=])` + regexp.QuoteMeta(from) + `(:[0-9]+|/|,|;|$)`)
	for _, s := range p.services {
		for i := range s.needs {
			if s.needs[i].name == from {
				s.needs[i].name = to
			}
		}
		for i := range s.env {
			v := &s.env[i]
			if v.of == from {
				v.of = to
			}
			if v.secret == "" && v.of == "" && (strings.ContainsAny(v.text, ":/@") || hostName.MatchString(v.name)) {
				v.text = host.ReplaceAllString(v.text, "${1}"+to+"${2}")
			}
		}
	}
}

// hostName matches the name of a variable whose value is a host.
var hostName = regexp.MustCompile(`(?i)(host|addr|address|server|url|endpoint)s?$`)

const (
	maxServiceName  = plan.MaxServiceName
	maxPipelineName = 40 // leaves room for the environment in the name of a namespace
)

var (
	secretName = regexp.MustCompile(`(?i)(passw(or)?d|passphrase|pwd$|_pass$|^pass$|secret|token|credential|api_?key|_key$|_key_|^key$|private|_salt$|_dsn$|^dsn$|_auth$)`)
	plainName  = regexp.MustCompile(`(?i)(_file|_path|_dir|_name|_ttl|_expiry|_length|_host|_port|_header|_algorithm)$`)
	userInfo   = regexp.MustCompile(`[^\s/@:]*:[^\s/@]+@`) // in an address, with or without a scheme; MySQL addresses in Go have none
	secretWord = regexp.MustCompile(`(?i)(passw(or)?d|passphrase|secret|token|requirepass|api-?_?key)[=:\s]\s*[^\s$]|(^|\s)-p[^\s-$]{4,}|-----BEGIN [A-Z ]*PRIVATE KEY|\b(gh[pousr]_|sk_live_|sk-|xox[abp]-|AKIA)[A-Za-z0-9_-]{10,}|eyJ[A-Za-z0-9_-]{10,}\.`)
	harmless   = regexp.MustCompile(`(?i)^(|true|false|yes|no|on|off|none|null|[0-9]+)$`) // if it is short
)

// looksSecret reports whether a variable seems to be a secret, by its name or by its
// value.
func looksSecret(name, value string) bool {
	if hasSecret(value) {
		return true
	}
	if plainName.MatchString(name) || !secretName.MatchString(name) {
		return false
	}
	password := strings.Contains(strings.ToLower(name), "pass") && !strings.Contains(strings.ToLower(name), "allow")
	return len(value) > 5 || !harmless.MatchString(value) || password && len(value) > 3 && value != "true" && value != "false"
}

// hasSecret reports whether a string seems to contain a secret.
func hasSecret(text string) bool {
	return userInfo.MatchString(text) || secretWord.MatchString(text)
}

// secretIn reports whether any argument seems to contain a secret, or sets a flag whose
// value is one.
func secretIn(argv []string) bool {
	return hasSecret(strings.Join(argv, " ")) || slices.ContainsFunc(argv, func(a string) bool {
		name, value, ok := strings.Cut(a, "=")
		return ok && looksSecret(strings.ReplaceAll(strings.TrimLeft(name, "-"), "-", "_"), value)
	})
}

// setEnv appends a variable. One that looks like a secret becomes a reference; its value
// is not written.
func (s *service) setEnv(name, value string) {
	if looksSecret(name, value) {
		s.env = append(s.env, variable{name: name, text: value, secret: secretOf(name)})
		return
	}
	s.env = append(s.env, variable{name: name, text: value})
}

var notSecret = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

func secretOf(name string) string {
	return strings.Trim(notSecret.ReplaceAllString(name, "-"), "-._")
}

// tell gives secrets with the same name and different values different names, and returns
// all names.
func (p *project) tell() []string {
	had := map[string]string{}
	var names []string
	for _, s := range p.services {
		for _, name := range s.secrets {
			if !slices.Contains(names, name) {
				names = append(names, name)
				had[name] = ""
			}
		}
		for _, f := range s.files {
			if f.secret != "" && f.key == "" && !slices.Contains(names, f.secret) {
				names = append(names, f.secret)
				had[f.secret] = ""
			}
		}
		for i := range s.env {
			v := &s.env[i]
			if v.secret == "" || v.key != "" {
				continue
			}
			if was, ok := had[v.secret]; ok && was != v.text {
				v.secret = strings.ToUpper(strings.ReplaceAll(s.name, "-", "_")) + "_" + v.secret
			}
			if _, ok := had[v.secret]; !ok {
				names = append(names, v.secret)
			}
			had[v.secret] = v.text
		}
	}
	slices.Sort(names)
	return names
}

// quoted formats a string of the source for a comment: on one line, shortened, and never
// as a directive for the linter.
func quoted(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, text)
	text = strings.ToValidUTF8(text, "?")
	text = strings.ReplaceAll(text, "lint:", "lint :")
	if userInfo.MatchString(text) {
		text = userInfo.ReplaceAllString(text, "…@")
	}
	if r := []rune(text); len(r) > 60 {
		text = string(r[:59]) + "…"
	}
	return text
}

// all formats a list of strings with quoted.
func all(texts []string) string {
	var out []string
	for i, t := range texts {
		if i == 6 {
			out = append(out, fmt.Sprintf("and %d more", len(texts)-i))
			break
		}
		out = append(out, quoted(t))
	}
	return strings.Join(out, ", ")
}
