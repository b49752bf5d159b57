package initialize

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// markers are files that identify the language of a directory.
var markers = []struct{ file, language string }{
	{"go.mod", "Go"}, {"package.json", "JavaScript"}, {"pyproject.toml", "Python"}, {"requirements.txt", "Python"}, {"Pipfile", "Python"},
	{"Gemfile", "Ruby"}, {"Cargo.toml", "Rust"}, {"pom.xml", "Java"}, {"build.gradle", "Java"}, {"build.gradle.kts", "Kotlin"},
	{"composer.json", "PHP"}, {"mix.exs", "Elixir"}, {"Package.swift", "Swift"}, {"deno.json", "Deno"}, {"build.sbt", "Scala"},
}

// languages returns the languages of a directory, each with the file that identifies it.
func (f *files) languages(dir string) []string {
	var out []string
	for _, m := range markers {
		same := func(l string) bool { return strings.HasPrefix(l, m.language+" ") }
		if f.isFile(path.Join(dir, m.file)) && !slices.ContainsFunc(out, same) {
			out = append(out, m.language+" ("+m.file+")")
		}
	}
	return out
}

const maxDockerfiles = 200 // maximum number of services made from Dockerfiles

// dockerfiles returns the Dockerfiles below a directory.
func (f *files) dockerfiles(dir string) (found []string, complete bool, err error) {
	complete, err = f.walk(dir, func(name string) {
		base := path.Base(name)
		if base == "Dockerfile" || strings.HasSuffix(base, ".Dockerfile") || strings.HasPrefix(base, "Dockerfile.") && base != "Dockerfile.dockerignore" {
			found = append(found, name)
		}
	})
	return found, complete, err
}

// readDockerfiles makes a service for each Dockerfile.
func readDockerfiles(_ context.Context, f *files, _, from string, p *project) error {
	found, complete := []string{from}, true
	if f.isDir(from) {
		var err error
		if found, complete, err = f.dockerfiles(from); err != nil {
			return err
		}
	}
	if len(found) > maxDockerfiles {
		return fmt.Errorf("%s has %d Dockerfiles, and pipe init reads at most %d: select a subdirectory with --from", from, len(found), maxDockerfiles)
	}
	if !complete {
		p.note("the directory is large, and not all of it was searched for Dockerfiles.")
	}
	for _, name := range found {
		dir, base := path.Dir(name), path.Base(name)
		s := &service{name: path.Base(dir), kind: plan.Application}
		if dir == "." {
			s.name = p.name
		}
		if base != "Dockerfile" {
			if part := strings.Trim(strings.TrimPrefix(strings.TrimSuffix(base, ".Dockerfile"), "Dockerfile"), "."); label(part, maxServiceName) != "" {
				s.name = part
			}
		}
		data, err := f.text(name)
		if err != nil {
			return err
		}
		text := string(data)
		s.source, s.file = f.source(name, text)
		languages := f.languages(dir)
		if len(languages) > 0 {
			s.about = strings.Join(languages, ", ") + "."
		}
		s.ports = exposed(text)
		if len(s.ports) == 0 {
			s.note("its Dockerfile has no EXPOSE: if it listens, set ports = […] and health = http(…).")
		} else {
			s.note("set health = http(PATH), so that it becomes ready when it responds.")
		}
		p.services = append(p.services, s)
	}
	return nil
}

// source returns the directory to build a Dockerfile from, and the Dockerfile in it, or ""
// if that is the default.
func (f *files) source(name, text string) (dir, file string) {
	dir, file = path.Dir(name), path.Base(name)
	// The Dockerfiles below a module at the top copy from the module.
	whole := f.isFile("go.mod") || f.isFile("go.work") || f.isFile("pnpm-workspace.yaml") || f.isFile("Cargo.toml")
	if whole && dir != "." && copiesFromAbove(text, dir, f) {
		return ".", name
	}
	if file == "Dockerfile" {
		file = ""
	}
	return dir, file
}

// copiesFromAbove reports whether a Dockerfile copies a path that does not exist in its
// own directory, but exists in the top directory.
func copiesFromAbove(text, dir string, f *files) bool {
	for _, m := range copied.FindAllStringSubmatch(text, -1) {
		for _, word := range strings.Fields(m[1]) {
			word = strings.TrimSuffix(strings.TrimPrefix(word, "./"), "/")
			if word == "" || strings.HasPrefix(word, "-") || strings.ContainsAny(word, `*?$[",`) || !local(word) || word == "." {
				continue
			}
			_, here := f.stat(path.Join(dir, word))
			_, above := f.stat(word)
			if here != nil && above == nil {
				return true
			}
		}
	}
	return false
}

var (
	copied = regexp.MustCompile(`(?mi)^\s*(?:COPY|ADD)\s+((?:[^\s]+\s+)+)[^\s]+\s*$`)
	expose = regexp.MustCompile(`(?mi)^\s*EXPOSE\s+(.+)$`)
)

// exposed returns the ports that a Dockerfile exposes.
func exposed(text string) []port {
	var out []port
	for _, m := range expose.FindAllStringSubmatch(text, -1) {
		for word := range strings.FieldsSeq(m[1]) {
			number, protocol, _ := strings.Cut(word, "/")
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 || n > 65535 {
				continue
			}
			p := port{number: n, protocol: strings.ToUpper(protocol)}
			switch p.protocol {
			case "":
				p.protocol = "TCP"
			case "TCP":
			case "UDP":
				p.name = "udp-" + number
			default:
				continue
			}
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}
