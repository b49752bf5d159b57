package initialize

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// A kustomization is a directory with a kustomization file.
type kustomization struct {
	dir     string
	overlay bool     // it changes another kustomization
	patches []string // files that are not objects
	more    bool     // it does more than listing objects
	refused string   // why kustomize() does not accept it

	generated []generated
}

// generated is a ConfigMap or a Secret that a kustomization generates.
type generated struct {
	name   string
	secret bool
	data   map[string]string
}

// listing are the fields that only list objects, or that have no effect here.
var listing = []string{"apiVersion", "kind", "metadata", "resources", "sortOptions", "namespace", "labels", "commonLabels", "generatorOptions", "configMapGenerator", "secretGenerator"}

// kustomization reads the kustomization of a directory. It returns nil if there is none.
func (f *files) kustomization(dir string) (*kustomization, error) {
	i := slices.IndexFunc(builtins.KustomizationNames, func(name string) bool { return f.isFile(path.Join(dir, name)) })
	if i < 0 {
		return nil, nil
	}
	name := path.Join(dir, builtins.KustomizationNames[i])
	data, err := f.text(name)
	if err != nil {
		return nil, err
	}
	docs, err := documents(name, data)
	if err != nil {
		return nil, err
	}
	k := &kustomization{dir: dir}
	if len(docs) == 0 {
		return k, nil
	}
	fields, _ := docs[0].(map[string]any)
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		k.more = k.more || !slices.Contains(listing, field)
		entries, _ := fields[field].([]any)
		switch field {
		case "helmCharts", "helmChartInflationGenerator", "generators", "transformers", "validators":
			k.refused = field
		case "resources", "bases", "components":
			for _, entry := range texts(fields[field]) {
				at := path.Join(dir, entry)
				switch {
				case strings.Contains(entry, "://") || !local(at) || !f.isDir(at) && !f.isFile(at):
					k.refused = "the resource " + quoted(entry)
				case f.isDir(at):
					k.overlay = true
				}
			}
		case "configMapGenerator", "secretGenerator":
			for _, entry := range mappings(fields[field]) {
				g := generated{secret: field == "secretGenerator", data: map[string]string{}}
				g.name, _ = entry["name"].(string)
				for _, text := range texts(entry["literals"]) {
					key, value, _ := strings.Cut(text, "=")
					g.data[key] = strings.Trim(value, `"'`)
				}
				for _, text := range texts(entry["files"]) {
					key, file, ok := strings.Cut(text, "=")
					if !ok {
						key, file = path.Base(text), text
					}
					value, err := f.text(path.Join(dir, file))
					if err != nil {
						k.more = true
						continue
					}
					g.data[key] = string(value)
				}
				k.more = k.more || entry["envs"] != nil || entry["env"] != nil
				k.generated = append(k.generated, g)
			}
		case "patches", "patchesStrategicMerge", "patchesJson6902":
			for _, entry := range entries {
				file, _ := entry.(string)
				if m, ok := entry.(map[string]any); ok {
					file, _ = m["path"].(string)
				}
				if file != "" && !strings.Contains(file, "\n") {
					k.patches = append(k.patches, path.Join(dir, file))
				}
			}
		}
	}
	return k, nil
}

// asKustomization makes one service of a kustomization, which is evaluated by pipe.
func (p *project) asKustomization(k *kustomization) error {
	if k.refused != "" {
		return fmt.Errorf("%s: pipe does not evaluate %s of a kustomization: run kustomize build %s > FILE in the directory, and pipe init --from FILE", k.dir, k.refused, k.dir)
	}
	p.services = append(p.services, &service{name: p.name, kind: plan.Manifests, kustomize: k.dir, about: "The kustomization is deployed as it is. Images that it names are copied, not built: an application(…) builds one."})
	return nil
}

// withoutOverlays removes the files of overlays and patches from those of manifests, and
// notes what the kustomizations do.
func (c *cluster) withoutOverlays(names []string) ([]string, error) {
	known := map[string]*kustomization{}
	patches := map[string]bool{}
	var overlays, changed []string
	for _, name := range names {
		for dir := path.Dir(name); known[dir] == nil; dir = path.Dir(dir) { // ends at "."
			k, err := c.kustomization(dir)
			if err != nil {
				return nil, err
			}
			if k == nil {
				k = &kustomization{}
			}
			known[dir] = k
			for _, file := range k.patches {
				patches[file] = true
			}
			if k.overlay {
				overlays = append(overlays, dir)
				continue
			}
			for _, g := range k.generated {
				if g.secret {
					c.secrets[g.name] = slices.Sorted(maps.Keys(g.data))
					continue
				}
				c.configMaps[g.name] = corev1.ConfigMap{Data: g.data}
			}
			if k.more {
				changed = append(changed, dir)
			}
		}
	}
	overlay := func(name string) bool {
		for dir := path.Dir(name); ; dir = path.Dir(dir) {
			if k := known[dir]; k.dir != "" || dir == "." {
				return k.overlay
			}
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return patches[name] || overlay(name) || slices.Contains(builtins.KustomizationNames, path.Base(name))
	})
	slices.Sort(overlays)
	if len(overlays) > 0 {
		c.project.note("the overlays of kustomize %s were not read. Write their differences with environment.name or param(…); or deploy one as it is, instead of these services: pipe init --from %s --to -.", all(overlays), overlays[0])
	}
	if len(changed) > 0 {
		c.project.note("the kustomizations in %s were not evaluated: what they generate or change is missing.", all(changed))
	}
	return names, nil
}
