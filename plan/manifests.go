package plan

import "strings"

// A ManifestSource is where objects of a service of type MANIFESTS come from. One of
// File, Object and Kustomize is set.
type ManifestSource struct {
	File      string   `json:"file,omitempty"`      // a file of YAML documents, relative to the workspace's root
	Object    Values   `json:"object,omitempty"`    // one object
	Kustomize string   `json:"kustomize,omitempty"` // the directory of a kustomization, relative to the workspace's root
	Files     []string `json:"files,omitempty"`     // all files that the kustomization consists of, sorted
}

// String describes the source, such as "k8s/web.yaml" or "ConfigMap web".
func (m ManifestSource) String() string {
	switch {
	case m.File != "":
		return m.File
	case m.Kustomize != "":
		return "kustomization " + m.Kustomize
	}
	kind, _ := m.Object["kind"].(string)
	meta, _ := m.Object["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	return strings.TrimSpace(kind + " " + name)
}

// Generated reports whether the service has a generated chart (D1): it neither names
// a chart nor consists of manifests.
func (s Service) Generated() bool { return s.Chart == nil && len(s.Manifests) == 0 }
