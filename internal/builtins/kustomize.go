package builtins

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/manifest"
	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/plan"
)

// A Kustomization is the value of kustomize().
type Kustomization struct {
	opaque
	dir       string
	files     []string // sorted
	namespace string   // that it sets; empty: none
}

// String returns the call that makes it.
func (k *Kustomization) String() string {
	return "kustomize(" + starlark.String(k.dir).String() + ")"
}

// Type returns "kustomization".
func (k *Kustomization) Type() string { return "kustomization" }

type kustomizeArgs struct {
	Dir string `arg:"dir" help:"a directory with a kustomization.yaml, relative to the file of the call"`
}

var kustomizeFunc = declare("kustomize", "kustomization",
	"Refers to a kustomization, for `manifests`. It is evaluated without plugins and without the network; everything that it refers to is in the workspace. Its files are inputs of the plan.",
	func(c *Call, a *kustomizeArgs) (starlark.Value, error) {
		out := &Kustomization{}
		if !c.Valid("dir") {
			return out, nil
		}
		dir, p := c.resolve(a.Dir)
		if p != nil {
			c.wrong("dir", p)
			return out, nil
		}
		out.dir = dir
		w := &kustomizeWalk{call: c, dirs: map[string]bool{}, files: map[string]bool{}}
		namespace, err := w.dir(dir)
		var wrong *kustomizeError
		switch {
		case errors.As(err, &wrong):
			c.reject(plan.Pos{File: wrong.file, Line: 1, Col: 1}, wrong.err, plan.Related{Pos: c.ArgPos("dir", nil), Message: "the kustomization is given here"})
		case bound(err):
			return nil, err
		case err != nil:
			_ = c.Reject("dir", err)
		}
		out.files, out.namespace = slices.Sorted(maps.Keys(w.files)), namespace
		return out, nil
	})

// A kustomizeError is an error in a file of a kustomization.
type kustomizeError struct {
	file string
	err  *explain.Error
}

func (e *kustomizeError) Error() string { return e.err.Error() }

// A kustomizeWalk finds all files that a kustomization consists of. It knows all fields
// that contain paths: what it does not find, kustomize does not get.
type kustomizeWalk struct {
	call   *Call
	dirs   map[string]bool
	files  map[string]bool
	within []string // the directories from the first one to that which is walked now
}

// KustomizationNames are the names of the file of a kustomization.
var KustomizationNames = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// The fields of a kustomization without paths, and those that are refused.
var (
	plainFields = []string{
		"apiVersion", "kind", "metadata", "namePrefix", "nameSuffix", "namespace", "commonLabels", "labels", "commonAnnotations",
		"images", "imageTags", "replicas", "vars", "sortOptions", "generatorOptions", "buildMetadata",
	}
	refusedFields = map[string]string{
		"helmCharts":                  "a chart is deployed by helm(): write helm(name, chart = …)",
		"helmChartInflationGenerator": "a chart is deployed by helm(): write helm(name, chart = …)",
		"helmGlobals":                 "a chart is deployed by helm(): write helm(name, chart = …)",
		"generators":                  "generators are plugins, which pipe does not run: write configMapGenerator or secretGenerator, or the objects",
		"transformers":                "transformers are plugins, which pipe does not run: write patches, labels or another field of the kustomization",
		"validators":                  "validators are plugins, which pipe does not run",
	}
	pathFields = []string{
		"resources", "bases", "components", "crds", "configurations", "patches", "patchesStrategicMerge", "patchesJson6902",
		"replacements", "openapi", "configMapGenerator", "secretGenerator",
	}
)

// dir adds the files of the kustomization in a directory, and returns the namespace that
// it sets.
func (w *kustomizeWalk) dir(dir string) (namespace string, err error) {
	if i := slices.Index(w.within, dir); i >= 0 {
		return "", explain.Errorf("the kustomization %s contains itself: %s", dir, strings.Join(append(slices.Clone(w.within[i:]), dir), " → "))
	}
	if w.dirs[dir] {
		return "", nil
	}
	w.dirs[dir] = true
	w.within = append(w.within, dir)
	defer func() { w.within = w.within[:len(w.within)-1] }()
	files := w.call.Session.Files
	name := ""
	for _, n := range KustomizationNames {
		at := path.Join(dir, n)
		switch {
		case !files.isFile(at):
			files.note(at, plan.InputManifest, "")
		case name != "":
			return "", &kustomizeError{at, explain.Errorf("%s and %s both exist", name, at).WithHint("a directory has one kustomization")}
		default:
			name = at
		}
	}
	if name == "" {
		p := explain.Errorf("%s has no kustomization.yaml", dir)
		if _, err := files.stat(dir); err != nil {
			p = files.problem(dir, err)
		}
		return "", p
	}
	data, err := w.read(name, name)
	if err != nil {
		return "", err
	}
	text, err := w.call.yamlToJSON(manifest.Document{Data: data})
	if err != nil {
		if bound(err) {
			return "", err
		}
		return "", &kustomizeError{name, explain.Errorf("%s: %v", name, err)}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return "", &kustomizeError{name, explain.Errorf("%s is not a kustomization: want a mapping", name)}
	}
	if len(fields) == 0 {
		return "", &kustomizeError{name, explain.Errorf("%s is empty", name).WithHint("write, for example, resources: [app.yaml]")}
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if err := w.field(name, field, fields[field]); err != nil {
			return "", err
		}
	}
	_ = json.Unmarshal(fields["namespace"], &namespace) // kustomize reports another type
	return namespace, nil
}

// field adds the files that a field refers to.
func (w *kustomizeWalk) field(file, field string, text json.RawMessage) error {
	if hint := refusedFields[field]; hint != "" {
		return &kustomizeError{file, explain.Errorf("%s: the field %s is not possible here", file, field).WithHint("%s", hint)}
	}
	if slices.Contains(plainFields, field) {
		return nil
	}
	if !slices.Contains(pathFields, field) {
		known := slices.Concat(plainFields, pathFields)
		return &kustomizeError{file, explain.Errorf("%s: a kustomization has no field %q", file, explain.Clip(field)).Near(field, known, "")}
	}
	wrong := func(want string) error {
		return &kustomizeError{file, explain.Errorf("%s: %s: want %s", file, field, want)}
	}
	switch field {
	case "resources", "bases", "components", "crds", "configurations", "patchesStrategicMerge":
		var list []string
		if json.Unmarshal(text, &list) != nil {
			return wrong("a list of paths")
		}
		for _, p := range list {
			if err := w.entry(file, field, p); err != nil {
				return err
			}
		}
	case "openapi":
		var one struct{ Path string }
		if json.Unmarshal(text, &one) != nil {
			return wrong("a mapping")
		}
		return w.path(file, field, one.Path)
	default:
		var list []struct {
			Path  string
			Env   string
			Envs  []string
			Files []string
		}
		if json.Unmarshal(text, &list) != nil {
			return wrong("a list of mappings")
		}
		for _, e := range list {
			for i, f := range e.Files {
				_, value, hasKey := strings.Cut(f, "=")
				if hasKey {
					e.Files[i] = value
				}
			}
			for _, p := range slices.Concat([]string{e.Path, e.Env}, e.Envs, e.Files) {
				if err := w.path(file, field, p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// entry adds what an entry of a list refers to: a file or, for resources, a directory.
func (w *kustomizeWalk) entry(file, field, p string) error {
	if field == "patchesStrategicMerge" && (strings.ContainsAny(p, "\n{") || strings.Contains(p, ": ")) {
		return nil // the patch itself
	}
	isDir := field == "resources" || field == "bases" || field == "components"
	if at, err := paths.Resolve(path.Dir(file), p); err == nil && isDir && !remote(p) && w.call.Session.Files.isFolder(at) {
		_, err := w.dir(at)
		var p *explain.Error
		if errors.As(err, &p) {
			return &kustomizeError{file, p}
		}
		return err
	}
	return w.path(file, field, p)
}

// path adds a file.
func (w *kustomizeWalk) path(file, field, p string) error {
	if p == "" {
		return nil
	}
	if remote(p) {
		return &kustomizeError{file, explain.Errorf("%s: %s: %q is not in the workspace", file, field, explain.Clip(p)).
			WithHint("an evaluation has no network: copy it into the workspace, and name its path")}
	}
	at, problem := paths.Resolve(path.Dir(file), p)
	if problem != nil {
		return &kustomizeError{file, explain.Errorf("%s: %s: %s", file, field, problem.Msg).WithHint("%s", problem.Hint)}
	}
	_, err := w.read(file, at)
	return err
}

// remote reports whether kustomize would fetch p, as a URL or from a git repository.
func remote(p string) bool {
	lower := strings.ToLower(p)
	first, _, _ := strings.Cut(lower, "/")
	return strings.Contains(lower, "://") || strings.HasPrefix(lower, "git::") || strings.Contains(first, "@") || strings.Contains(first, ":") ||
		first == "github.com" || first == "www.github.com"
}

// read reads a file that a file of the kustomization names.
func (w *kustomizeWalk) read(from, name string) ([]byte, error) {
	files := w.call.Session.Files
	data, err := files.Read(name, plan.InputManifest)
	if bound(err) {
		return nil, err
	}
	if err != nil {
		p := files.problem(name, err)
		return nil, &kustomizeError{from, &explain.Error{Msg: fmt.Sprintf("%s: %s", from, p.Msg), Hint: p.Hint, Suggest: p.Suggest}}
	}
	w.files[name] = true
	return data, nil
}
