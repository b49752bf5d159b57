package builtins

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/manifest"
	"github.com/pipelinefile/pipe/plan"
)

type manifestsArgs struct {
	serviceName
	Sources []manifestValue `arg:"*sources" help:"files of YAML documents, relative to the file of the call, objects as dicts, kustomizations, or lists of these"`
	podImages
	placed
	timeout5
}

// placed are the parameters that place a service whose objects others write.
type placed struct {
	staged
	// Namespace is checked when the names of the pipeline and the environment are known.
	Namespace string `arg:"namespace,kw" default:"None" help:"the Kubernetes namespace of the release, instead of that of the environment; {pipeline} and {environment} stand for the two names"`
	existing
}

// An Object is a Kubernetes object of a service of type MANIFESTS.
type Object struct {
	manifest.Object          // without APIVersion: a kustomization, whose objects are not known yet
	Pos             plan.Pos // of its document, or of the argument that contains it
}

var manifestsFunc = declare("manifests", "service",
	"Declares a service that consists of Kubernetes manifests. They are deployed as one Helm release, as they are, except for the images of their pods: see images=. "+
		"A CustomResourceDefinition is installed before the other objects, and is neither changed nor deleted.",
	func(c *Call, a *manifestsArgs) (starlark.Value, error) {
		s := c.deployable(plan.Manifests, a.Name, &a.staged, a.Timeout)
		s.Plan.Adopt = a.Adopt
		c.releaseNamespace(s, a.Namespace)
		c.mirrored(s, a.podImages)
		if c.Valid("sources") {
			for i, v := range a.Sources {
				for _, one := range v.list {
					if err := c.addManifest(s, i, one); err != nil {
						return nil, err
					}
				}
			}
			if len(s.Claims().Objects) == 0 && c.Valid("sources") {
				c.wrong("sources", explain.Errorf("they contain no objects").WithHint(`write, for example, manifests(%q, "k8s/%s.yaml")`, a.Name, a.Name))
			}
		}
		return c.declared(s), nil
	})

// A manifestValue is one source of manifests(): values of type string or dict.
type manifestValue struct{ list []starlark.Value }

func (manifestValue) TypeName() string { return "str | dict | kustomization | list" }

// Unpack accepts a source, or a list of them.
func (m *manifestValue) Unpack(v starlark.Value) error {
	switch v.(type) {
	case starlark.String, *starlark.Dict, *Kustomization:
		m.list = []starlark.Value{v}
		return nil
	case *starlark.List, starlark.Tuple:
		list, _ := convert.List(v, "list")
		for i, e := range list {
			var one manifestValue
			if _, nested := e.(starlark.Sequence); nested && e.Type() != "dict" {
				return convert.Want("str or dict", e).In(i)
			}
			if err := one.Unpack(e); err != nil {
				return explain.Of(err).In(i)
			}
			m.list = append(m.list, one.list...)
		}
		return nil
	case *Chart:
		return convert.Want("str or dict", v).WithHint("a chart is deployed by helm(): write helm(name, chart = …)")
	}
	return convert.Want("str, dict, kustomization or list", v)
}

// addManifest adds a source, the argument i, to the service.
func (c *Call) addManifest(s *Service, i int, v starlark.Value) error {
	switch v := v.(type) {
	case starlark.String:
		return c.addManifestFile(s, i, string(v))
	case *starlark.Dict:
		return c.addObject(s, i, v)
	case *Kustomization:
		s.Plan.Manifests = append(s.Plan.Manifests, plan.ManifestSource{Kustomize: v.dir, Files: v.files})
		return c.addObjects(s, []manifest.Object{{Kind: "kustomization", Name: v.dir, Namespace: v.namespace}}, c.ArgPos("sources", i))
	}
	return nil
}

// addObject adds an object that the file has as a dict.
func (c *Call) addObject(s *Service, i int, v starlark.Value) error {
	n, err := c.Session.Meter.TextSize(v)
	if err == nil {
		err = c.Session.Meter.Charge(parseSize * uint64(n))
	}
	if err != nil {
		return err
	}
	data, p := toData(v, 0)
	if p != nil {
		c.wrong("sources", p.In(i))
		return nil
	}
	object := plan.Values(data.(map[string]any))
	text, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	pos := c.ArgPos("sources", i)
	objects, _, err := manifest.Objects(text)
	if err != nil {
		c.wrong("sources", explain.Errorf("%v", err).In(i))
		return nil
	}
	s.Plan.Manifests = append(s.Plan.Manifests, plan.ManifestSource{Object: object})
	return c.addObjects(s, objects, pos)
}

// addManifestFile adds the objects of a file.
func (c *Call) addManifestFile(s *Service, i int, name string) error {
	file, p := c.resolve(name)
	if p == nil && c.Session.Files.isFolder(file) {
		p = c.notManifests(name, file)
	}
	if p != nil {
		c.wrong("sources", p.In(i))
		return nil
	}
	data, err := c.Session.Files.Read(file, plan.InputManifest)
	if bound(err) {
		return err
	}
	if err != nil {
		c.wrong("sources", c.Session.Files.problem(file, err).In(i))
		return nil
	}
	s.Plan.Manifests = append(s.Plan.Manifests, plan.ManifestSource{File: file})
	docs, err := c.split(data)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		pos := plan.Pos{File: file, Line: doc.Line, Col: 1}
		objects, err := c.objects(doc)
		if bound(err) {
			return err
		}
		if err != nil {
			c.reject(pos, c.wrongDocument(file, err), plan.Related{Pos: c.ArgPos("sources", i), Message: "the file is given here"})
			c.Invalidate("sources")
			return nil
		}
		if err := c.addObjects(s, objects, pos); err != nil {
			return err
		}
	}
	return nil
}

// split returns the documents of a file.
func (c *Call) split(data []byte) ([]manifest.Document, error) {
	if err := c.Session.Meter.Charge(splitSize * uint64(len(data))); err != nil {
		return nil, err
	}
	docs := manifest.Split(data)
	return docs, c.Session.Meter.Charge(documentSteps * uint64(len(docs)))
}

// notManifests returns the error for a directory instead of a file.
func (c *Call) notManifests(name, dir string) *explain.Error {
	p := explain.Errorf("%s is a directory", dir)
	if c.Session.Files.isFile(path.Join(dir, "Chart.yaml")) {
		return p.WithHint("it has a chart: write helm(name, chart = chart(%q))", name)
	}
	for _, n := range KustomizationNames {
		if c.Session.Files.isFile(path.Join(dir, n)) {
			return p.WithHint("it has a kustomization: write kustomize(%q)", name)
		}
	}
	return p.WithHint("name its files, such as *glob(%q)", path.Join(name, "*.yaml"))
}

// objects returns the objects of a document.
func (c *Call) objects(doc manifest.Document) ([]manifest.Object, error) {
	text, err := c.yamlToJSON(doc)
	if err != nil {
		return nil, err
	}
	objects, _, err := manifest.Objects(text)
	return objects, err
}

// yamlToJSON converts a document.
func (c *Call) yamlToJSON(doc manifest.Document) ([]byte, error) {
	m := c.Session.Meter
	if err := m.Charge(parseSize * uint64(len(doc.Data))); err != nil {
		return nil, err
	}
	if err := shallow(doc.Data); err != nil {
		return nil, err
	}
	text, err := bounded.Await(m, len(doc.Data), func() ([]byte, error) {
		text, err := yamlJSON(doc.Data, true)
		if err != nil {
			_, err = yamlJSON(doc.InFile(), true) // with the lines of the file
		}
		return text, err
	})
	if err != nil {
		return nil, err
	}
	return text, decodable(m, text)
}

// wrongDocument returns the error for a document of a file that is not an object.
func (c *Call) wrongDocument(file string, err error) *explain.Error {
	p := explain.Errorf("%s: %v", file, err)
	var none *manifest.KindError
	if !errors.As(err, &none) {
		return p
	}
	switch base := path.Base(file); {
	case slices.Contains(KustomizationNames, base):
		p.Hint = "it is a kustomization: write kustomize(), or leave it out with exclude= of glob()"
	case base == "values.yaml" || base == "Chart.yaml":
		p.Hint = "it belongs to a chart: write helm(name, chart = chart(…))"
	default:
		p.Hint = "every document of a manifest is a Kubernetes object, with apiVersion and kind"
	}
	return p
}

// addObjects records the objects of a source.
func (c *Call) addObjects(s *Service, objects []manifest.Object, pos plan.Pos) error {
	if err := c.Session.Meter.Charge(declarationSize * uint64(len(objects))); err != nil {
		return err
	}
	for _, o := range objects {
		s.claim().Objects = append(s.claim().Objects, Object{o, pos})
	}
	return nil
}

var readYAMLAllFunc = reader("read_yaml_all", "list", "Returns the values of all documents of a YAML file; empty documents are left out.",
	func(c *Call, data []byte) (starlark.Value, error) {
		docs, err := c.split(data)
		if err != nil {
			return nil, err
		}
		out := make([]starlark.Value, 0, len(docs))
		for i, doc := range docs {
			v, err := decodeYAML(c, doc.Data)
			if err != nil && !bound(err) {
				_, err = decodeYAML(c, doc.InFile()) // with the lines of the file
			}
			if bound(err) {
				return nil, err
			}
			if err != nil {
				return nil, fmt.Errorf("document %d, which begins in line %d: %w", i+1, doc.Line, err)
			}
			out = append(out, v)
		}
		return starlark.NewList(out), nil
	})
