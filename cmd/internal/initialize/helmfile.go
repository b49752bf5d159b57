package initialize

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

var (
	templateLine = regexp.MustCompile(`(?m)^[ \t]*(?:\{\{[^\n]*?\}\}[ \t]*)+$`)
	templates    = regexp.MustCompile(`\{\{(?:[^}]|\}[^}])*\}\}`)
	// A version such as 1.10 is a string for helmfile, and a number for YAML.
	versionNumber = regexp.MustCompile(`(?m)(\bversion:[ \t]*)([0-9]+(?:\.[0-9]+)?)([ \t]*(?:$|[,}#]))`)
	placeholder   = regexp.MustCompile(`PIPETEMPLATE([0-9]+)X`)
)

// untemplate replaces each template with a word, so that the result is YAML. It removes
// lines that contain only templates.
func untemplate(text string) (string, []string) {
	var were []string
	text = templateLine.ReplaceAllString(text, "")
	text = templates.ReplaceAllStringFunc(text, func(t string) string {
		were = append(were, t)
		return fmt.Sprintf("PIPETEMPLATE%dX", len(were)-1)
	})
	return text, were
}

// A helmfile is read as YAML; templates are not executed.
type helmfile struct {
	*files
	base    string
	were    []string
	repos   map[string]map[string]any
	project *project

	namespaces  []string          // of releases
	encryptedIn map[string]string // names of secrets, with the encrypted files that have them
}

func readHelmfile(_ context.Context, f *files, _, name string, p *project) error {
	data, err := f.text(name)
	if err != nil {
		return err
	}
	h := &helmfile{files: f, base: path.Dir(name), repos: map[string]map[string]any{}, project: p, encryptedIn: map[string]string{}}
	if lines := len(templateLine.FindAllString(string(data), -1)); lines > 0 {
		p.note("%s has %d lines with nothing but templates, such as {{ if }}: they were not executed, and the lines between them were read once. Use if and param(…) of Starlark instead.", quoted(name), lines)
	}
	var clean string
	clean, h.were = untemplate(string(data))
	clean = versionNumber.ReplaceAllString(clean, `${1}"${2}"${3}`)
	docs, err := documents(name, []byte(clean))
	if err != nil {
		return fmt.Errorf("%w; templates that change the structure of the file are not supported: read the output of helmfile build with --from", err)
	}
	var releases []map[string]any
	for _, d := range docs {
		m, _ := d.(map[string]any)
		for _, r := range mappings(m["repositories"]) {
			if name, ok := r["name"].(string); ok {
				h.repos[name] = r
			}
		}
		releases = append(releases, mappings(m["releases"])...)
		for _, key := range []string{"bases", "helmfiles"} {
			if list, _ := m[key].([]any); len(list) > 0 {
				p.note("%s of %s were not read: %d entries. Run pipe init --from for each, and combine the results.", key, quoted(name), len(list))
			}
		}
		if env, _ := m["environments"].(map[string]any); len(env) > 0 {
			var names []string
			for k := range env {
				names = append(names, k)
			}
			sort.Strings(names)
			p.note("environments %s: pipe run --env NAME deploys one, environment.name is its name, and by_environment of @std//rollout.star chooses values.", all(names))
		}
		for _, key := range []string{"hooks", "commonLabels", "templates", "apiVersions", "values"} {
			if m[key] != nil {
				p.note("%s of %s was left out.", key, quoted(name))
			}
		}
	}
	ids := map[string]*service{}
	for i, r := range releases {
		s := h.release(i, r)
		p.services = append(p.services, s)
		namespace, _ := r["namespace"].(string)
		for _, id := range []string{s.name, namespace + "/" + s.name} {
			if ids[id] == nil {
				ids[id] = s
			}
		}
	}
	only := len(h.namespaces) == 1 && plan.CheckName(h.namespaces[0], plan.MaxName) == nil && !plan.Reserved(h.namespaces[0])
	if only {
		p.namespace = h.namespaces[0]
	}
	for _, s := range p.services {
		if s.namespace == "" {
			continue
		}
		if only {
			s.namespace = ""
		} else if plan.CheckName(s.namespace, plan.MaxName) != nil {
			s.note("namespace %s was not executed: set namespace = …, in which {environment} is the name of the environment.", quoted(h.shown(s.namespace)))
			s.namespace = ""
		}
	}
	h.stages(releases, ids)
	return nil
}

// stages puts each release into a stage after those that it needs.
func (h *helmfile) stages(releases []map[string]any, ids map[string]*service) {
	needs := map[*service][]*service{}
	for i, r := range releases {
		s := h.project.services[i]
		for _, n := range texts(r["needs"]) {
			parts := strings.Split(n, "/") // [context/][namespace/]name
			other := ids[strings.Join(parts[max(0, len(parts)-2):], "/")]
			if other == nil {
				other = ids[parts[len(parts)-1]]
			}
			switch other {
			case s:
			case nil:
				s.note("it needs %s, which is not in the file.", quoted(h.shown(n)))
			default:
				needs[s] = append(needs[s], other)
			}
		}
	}
	rank := map[*service]int{}
	for range releases {
		changed := false
		for _, s := range h.project.services {
			for _, other := range needs[s] {
				if least := rank[other] + 1; rank[s] < least && least < len(releases) {
					rank[s], changed = least, true
				}
			}
		}
		if !changed {
			break
		}
	}
	most := 0
	for _, r := range rank {
		most = max(most, r)
	}
	if most == 0 {
		return
	}
	used := map[int]bool{}
	for _, s := range h.project.services {
		used[rank[s]] = true
	}
	number := map[int]int{}
	for r, n := 0, 0; r <= most; r++ {
		if used[r] {
			n++
			number[r] = n
		}
	}
	for _, s := range h.project.services {
		s.stage, s.stageRank = fmt.Sprintf("releases %d", number[rank[s]]), number[rank[s]]
	}
}

func mappings(v any) []map[string]any {
	list, _ := v.([]any)
	var out []map[string]any
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// shown restores the templates in a string.
func (h *helmfile) shown(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		n := 0
		_, _ = fmt.Sscanf(p, "PIPETEMPLATE%dX", &n)
		if n < 0 || n >= len(h.were) {
			return p
		}
		return h.were[n]
	})
}

func (h *helmfile) release(i int, r map[string]any) *service {
	name, _ := r["name"].(string)
	s := &service{name: name, kind: plan.Helm, chart: &chart{}}
	if name == "" || placeholder.MatchString(name) {
		s.name = fmt.Sprintf("release-%d", i+1)
		s.note("its name is missing, or a template, which was not executed: %q.", quoted(h.shown(name)))
	}
	h.chart(s, r)
	if namespace, _ := r["namespace"].(string); namespace != "" {
		if s.namespace = namespace; !slices.Contains(h.namespaces, namespace) {
			h.namespaces = append(h.namespaces, namespace)
		}
	}
	switch installedAs := r["installed"].(type) {
	case bool:
		s.skip = !installedAs
	case string:
		if m := installed.FindStringSubmatch(h.shown(strings.TrimSpace(installedAs))); m != nil {
			s.skipIf = "environment.name " + map[string]string{"eq": "!=", "ne": "=="}[m[1]] + " " + str(m[2])
			break
		}
		s.note("installed: %s was not executed: set skip = … instead.", quoted(h.shown(installedAs)))
	}
	if v, ok := r["condition"].(string); ok {
		s.note("condition %s was left out: set skip = … with a param(…) instead.", quoted(h.shown(v)))
	}
	if n, ok := r["timeout"].(int); ok && n > 0 {
		s.timeout = fmt.Sprintf("%ds", n)
	}
	h.values(s, r)
	for _, key := range []string{"hooks", "setTemplate", "valuesTemplate", "jsonPatches", "strategicMergePatches", "transformers", "dependencies", "postRenderer", "inherit", "labels"} {
		if r[key] == nil {
			continue
		}
		switch key {
		case "labels":
			s.note("labels of the release were left out: pipe run --service NAME selects services.")
		case "hooks":
			s.note("hooks were left out: declare a job(…) in an earlier or a later stage, which runs in the cluster.")
		default:
			s.note("%s was left out. To set it, write the chart with pipe eject %s, change it, and use it with chart=.", key, label(s.name, maxServiceName))
		}
	}
	return s
}

// chart finds the chart of a release.
func (h *helmfile) chart(s *service, r map[string]any) {
	ref, _ := r["chart"].(string)
	version := ""
	if v := r["version"]; v != nil {
		version = fmt.Sprint(v)
	}
	if placeholder.MatchString(version) {
		s.note("version %s was not executed: write the version, or use a param(…).", quoted(h.shown(version)))
		version = ""
	}
	repo, rest, ok := strings.Cut(ref, "/")
	c := s.chart
	missing := func(format string, args ...any) {
		s.note(format+" Until then, chart= names a chart that does not exist.", args...)
		c.ref, c.repo, c.version = label(s.name, maxServiceName), "https://charts.example.com", version
		c.unpinned = version == ""
	}
	dir := path.Join(h.base, ref)
	switch {
	case ref == "":
		missing("it names no chart: set chart=.")
	case placeholder.MatchString(ref):
		missing("chart %s was not executed: set chart=.", quoted(h.shown(ref)))
	case strings.HasPrefix(ref, "oci://") && builtins.IsImage(strings.TrimPrefix(ref, "oci://")):
		c.ref, c.version = ref, version
	case strings.Contains(ref, "://") || strings.HasPrefix(ref, "git::"):
		missing("chart %s is fetched from a remote source: copy it into the directory, and set chart(DIRECTORY).", quoted(ref))
	case h.repos[repo] != nil && ok:
		url, _ := h.repos[repo]["url"].(string)
		if h.repos[repo]["username"] != nil || h.repos[repo]["password"] != nil {
			s.note("the repository %s requires credentials: add them with helm repo add.", quoted(repo))
		}
		oci, _ := h.repos[repo]["oci"].(bool)
		switch {
		case rest == "" || placeholder.MatchString(url+rest) || url == "" || strings.Contains(url, "@") || strings.ContainsAny(rest, "/:\\ ") && !oci || oci && !builtins.IsImage(strings.TrimPrefix(url, "oci://")+"/"+rest):
			missing("chart %s or the URL of its repository is unknown: set chart=.", quoted(h.shown(ref)))
		case oci:
			c.ref, c.version = "oci://"+strings.TrimSuffix(strings.TrimPrefix(url, "oci://"), "/")+"/"+rest, version
		case !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://"):
			missing("the repository %s has the URL %s, which does not use HTTP.", quoted(repo), quoted(url))
		default:
			c.ref, c.repo, c.version = rest, strings.TrimSuffix(url, "/"), version
		}
	case local(dir) && h.isFile(path.Join(dir, "Chart.yaml")):
		c.ref = dir
		return
	case local(dir) && strings.HasSuffix(dir, ".tgz") && h.isFile(dir):
		c.ref = dir
		return
	default:
		missing("chart %s is neither in the directory nor in one of the repositories.", quoted(ref))
	}
	c.unpinned = c.version == ""
}
