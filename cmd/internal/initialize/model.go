package initialize

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// A project is what a reader found, in the terms of a Pipelinefile.
type project struct {
	name     string
	from     string // what it was read from, for people
	services []*service
	notes    []string // what is about no service
	supply   []string // what is said of Secrets at the top
}

// A service becomes one call.
type service struct {
	name string // as the source has it until names are assigned
	kind plan.ServiceType

	about string // a comment that is no loss, such as the language

	source     string // directory that is built; "": none is
	file       string // Dockerfile, relative to the context; "" the default
	context    string // relative to the source; "" the default
	target     string
	args       []pair
	image      string
	latest     string // reason why the image has no version, if it has none
	chart      *chart
	engine     string
	version    string
	storage    string
	schedule   string
	retries    int
	timeout    string
	ports      []port
	env        []variable
	command    []string
	arguments  []string
	replicas   int // 0: not said
	resources  []pair
	health     *health
	volumes    []volume
	values     map[string]any
	skip       bool
	needs      []need
	stage      string
	stageRank  int
	notes      []string
	referenced bool // by a variable of another: it is assigned to a name
	noReplicas bool // replicas = 0
}

type (
	pair struct{ name, value string }

	chart struct {
		ref, version, repo string
		files              []string
		unpinned           bool
		none               bool // source = None: a Dockerfile beside the Pipelinefile is not its
	}
	port struct {
		number   int
		name     string
		protocol string
		public   bool
		host     string
		local    int
	}
	health struct {
		kind    string // http, tcp, command
		path    string
		port    int
		command []string
	}
	volume struct{ path, size, name string }

	// A need is a service that must be there first.
	need struct {
		name string
		done bool // must have run to its end
	}

	// A variable has one of: a text, a secret, a value of a database.
	variable struct {
		name   string
		text   string
		secret string // its name; text is then what it had, which is never written
		key    string // in the Secret
		of     string // a database, as the source names it
		attr   string // its attribute
	}
)

// note says what was not carried over, why, and what to do.
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

// value sets a key of the values of the chart.
func (s *service) value(key string, v any) {
	if s.values == nil {
		s.values = map[string]any{}
	}
	s.values[key] = v
}

var notLabel = regexp.MustCompile(`[^a-z0-9]+`)

// label makes a DNS label of a text, of at most most characters, that begins with a
// letter, as the names of Kubernetes Services do.
func label(text string, most int) string {
	text = strings.Trim(notLabel.ReplaceAllString(strings.ToLower(text), "-"), "-")
	if text != "" && text[0] >= '0' && text[0] <= '9' {
		text = "s" + text
	}
	return strings.Trim(text[:min(len(text), most)], "-")
}

// unknown is what is written where no image is known.
func (s *service) unknown() string {
	if name := label(s.name, serviceMost); name != "" {
		return name + ":VERSION"
	}
	return "image:VERSION"
}

// rename gives each service a name that the language takes, and no two the same one.
func (p *project) rename() {
	taken, first := map[string]bool{}, map[string]string{}
	for _, s := range p.services {
		if label(s.name, serviceMost) == s.name {
			taken[s.name] = true // keeps its name, whoever wants it, too
		}
	}
	for _, s := range p.services {
		name := label(s.name, serviceMost)
		if name != "" && name == s.name && first[name] == "" {
			first[name] = name
			continue
		}
		if name == "" {
			name = "service"
		}
		base := name
		for i := 2; taken[name]; i++ {
			name = fmt.Sprintf("%s-%d", strings.TrimRight(base[:min(len(base), serviceMost-4)], "-"), i)
		}
		taken[name], first[name] = true, name
		if name != s.name {
			s.about = strings.TrimSpace(s.about + fmt.Sprintf(" It was named %s: a name is unique, begins with a letter and has small letters, digits and dashes. Its host is %s.", quoted(s.name), name))
			p.refer(s.name, name)
		}
		s.name = name
	}
}

// refer changes the name of a service where others name it.
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

// hostName is the name of a variable whose value is a host.
var hostName = regexp.MustCompile(`(?i)(host|addr|address|server|url|endpoint)s?$`)

const (
	serviceMost  = 53
	pipelineMost = 40 // leaves room for an environment in the name of a namespace
)

var (
	secretName = regexp.MustCompile(`(?i)(passw(or)?d|passphrase|pwd$|_pass$|^pass$|secret|token|credential|api_?key|_key$|_key_|^key$|private|_salt$|_dsn$|^dsn$|_auth$)`)
	plainName  = regexp.MustCompile(`(?i)(_file|_path|_dir|_name|_ttl|_expiry|_length|_host|_port|_header|_algorithm)$`)
	userInfo   = regexp.MustCompile(`[^\s/@:]*:[^\s/@]+@`) // of an address, with a scheme or without, as MySQL's are in Go
	secretWord = regexp.MustCompile(`(?i)(passw(or)?d|passphrase|secret|token|requirepass|api-?_?key)[=:\s]\s*[^\s$]|(^|\s)-p[^\s-$]{4,}|-----BEGIN [A-Z ]*PRIVATE KEY|\b(gh[pousr]_|sk_live_|sk-|xox[abp]-|AKIA)[A-Za-z0-9_-]{10,}|eyJ[A-Za-z0-9_-]{10,}\.`)
	harmless   = regexp.MustCompile(`(?i)^(|true|false|yes|no|on|off|none|null|[0-9]{1,5})$`)
)

// looksSecret reports whether a variable is to be a secret: by its name, or by its value.
func looksSecret(name, value string) bool {
	if hasSecret(value) {
		return true
	}
	if plainName.MatchString(name) || !secretName.MatchString(name) {
		return false
	}
	password := strings.Contains(strings.ToLower(name), "pass") && !strings.Contains(strings.ToLower(name), "allow")
	return !harmless.MatchString(value) || password && len(value) > 3 && value != "true" && value != "false"
}

// hasSecret reports whether a text seems to have a secret in it.
func hasSecret(text string) bool {
	return userInfo.MatchString(text) || secretWord.MatchString(text)
}

// secretIn reports whether one of some arguments seems to be a secret, or comes after
// a flag whose value is one.
func secretIn(argv []string) bool {
	return hasSecret(strings.Join(argv, " ")) || slices.ContainsFunc(argv, func(a string) bool {
		name, value, ok := strings.Cut(a, "=")
		return ok && looksSecret(strings.ReplaceAll(strings.TrimLeft(name, "-"), "-", "_"), value)
	})
}

// setEnv adds variables, in order. Those that look like secrets are named, not copied.
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

// tell makes secrets of one name and different values different, and returns all names.
func (p *project) tell() []string {
	had := map[string]string{}
	var names []string
	for _, s := range p.services {
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

// quoted is a text of the source in a comment: in one line, short, and never a comment
// that the linter obeys.
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

// all is quoted of each, as a list.
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
