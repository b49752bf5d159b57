package initialize

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/pipelinefile/pipe/plan"
)

// An other is an object that the language cannot express.
type other struct {
	kind, name string
	of         []string // names that it mentions, to find its service
	bound      bool     // it must not be deployed unchanged
	namespace  string
	object     map[string]any
	file       string
	done       bool // it was converted
}

// home treats the namespace of all objects as that of the environment. If they have
// several, an object with a namespace may be outside the namespace of the environment.
func (c *cluster) home() {
	if len(c.namespaces) == 1 {
		name := c.namespaces[0]
		if plan.CheckName(name, plan.MaxName) != nil {
			return
		}
		c.project.about = append(c.project.about, "The objects were in namespace "+quoted(name)+"; here, each environment has a namespace of its own. To use that one, write pipeline(…, namespace = "+str(name)+").")
		for _, s := range c.services {
			for _, suffix := range []string{"", ".svc", ".svc.cluster.local"} {
				c.hosts = append(c.hosts, pair{s.Name + "." + name + suffix, s.Name})
			}
		}
		return
	}
	for _, o := range c.others {
		o.bound = o.bound || o.namespace != ""
	}
	if len(c.namespaces) > 1 {
		c.project.note("the objects are in the namespaces %s; here, the services of an environment are in one namespace, and reach each other by their names.", all(c.namespaces))
	}
}

// asTheyAre finds the objects that can be deployed unchanged, and the files that have no
// others.
func (c *cluster) asTheyAre(files []string) {
	c.others = slices.DeleteFunc(c.others, func(o *other) bool { return o.done })
	seen := map[string]bool{} // an object belongs to one service
	for _, o := range c.others {
		id := o.kind + "/" + o.name
		o.bound = o.bound || seen[id]
		seen[id] = true
	}
	for _, file := range files {
		n := 0
		for _, o := range c.others {
			if o.file == file && o.unchanged() && o.namespace == "" {
				n++
			}
		}
		if n > 0 && n == c.documents[file] {
			c.whole = append(c.whole, file)
			c.others = slices.DeleteFunc(c.others, func(o *other) bool { return o.file == file })
		}
	}
	c.others = slices.DeleteFunc(c.others, func(o *other) bool {
		text, err := json.Marshal(o.object)
		// An object of the API of RBAC may name an account that pipe names otherwise.
		if !o.unchanged() || strings.HasPrefix(fmt.Sprint(o.object["apiVersion"]), rbacv1.GroupName+"/") || err != nil || len(text) > maxObject || hasSecret(string(text)) {
			return false
		}
		object := maps.Clone(o.object)
		meta, _ := object["metadata"].(map[string]any)
		meta = maps.Clone(meta)
		delete(meta, "namespace")
		object["metadata"] = meta
		c.single = append(c.single, object)
		return true
	})
}

const maxObject = 2000 // bytes of an object that is written into the Pipelinefile

// unchanged reports whether an object can be deployed as it is in the namespace of the
// environment. A NetworkPolicy selects pods by labels that pipe does not keep.
func (o *other) unchanged() bool { return !o.bound && o.kind != "NetworkPolicy" }

// other records an object that is not converted yet.
func (c *cluster) other(file, kind, name string, m map[string]any) *other {
	meta, _ := m["metadata"].(map[string]any)
	o := &other{kind: kind, name: name, file: file, object: m}
	o.namespace, _ = meta["namespace"].(string)
	spec, _ := m["spec"].(map[string]any)
	for _, key := range []string{"scaleTargetRef", "targetRef"} {
		if ref, ok := spec[key].(map[string]any); ok {
			o.of = append(o.of, fmt.Sprint(ref["name"]))
		}
	}
	// An object that mentions a service may use names of objects that pipe names otherwise.
	o.bound = len(o.of) > 0 || meta["name"] == nil || kind == "PodDisruptionBudget" || m["apiVersion"] == nil
	c.others = append(c.others, o)
	return o
}

// rest notes what was left out, at the service that it is about, if any.
func (c *cluster) rest() {
	for _, name := range slices.Sorted(maps.Keys(c.secrets)) {
		keys := "no keys"
		if len(c.secrets[name]) > 0 {
			keys = strings.Join(quotedAll(c.secrets[name]), ", ")
		}
		c.project.supply = append(c.project.supply, "Secret "+quoted(name)+" ("+keys+") was not copied: create it with kubectl create secret generic, or pass its values with pipe run --secrets.")
	}
	if len(c.whole)+len(c.single) > 0 {
		c.project.services = append(c.project.services, &service{
			name: "objects", kind: plan.Manifests, manifests: c.whole, objects: c.single, about: "Objects that are deployed as they are.",
		})
	}
	kinds := map[string][]string{}
	for _, o := range c.others {
		at := false
		for _, w := range c.workloads {
			if slices.Contains(o.of, w.meta.Name) || o.kind == "PodDisruptionBudget" && o.name == w.meta.Name || o.kind == "NetworkPolicy" && o.name == w.meta.Name {
				w.service.note("%s %s was left out. To add it, write the chart with pipe eject %s, change it, and use it with chart=.", quoted(o.kind), quoted(o.name), label(w.service.name, maxServiceName))
				at = true
			}
		}
		if !at {
			kinds[o.kind] = append(kinds[o.kind], o.name)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		c.project.note("%s %s was left out. Put it into a separate file, and deploy that with manifests(NAME, FILE).", quoted(kind), all(kinds[kind]))
	}
}
