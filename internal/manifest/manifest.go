// Package manifest reads Kubernetes manifests: it splits files into YAML documents, and
// identifies the objects in them. Evaluation and the drivers share it, so that both see
// the same objects.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A Document is one YAML document of a file.
type Document struct {
	Line int // of its first line that is not blank or a comment; the first line of a file is 1
	Data []byte

	before int // the number of lines of the file before Data
}

// InFile returns the document after as many empty lines as the file has lines before it:
// a parser then reports the lines of the file.
func (d Document) InFile() []byte {
	return append(bytes.Repeat([]byte("\n"), d.before), d.Data...)
}

// Split returns the documents of a file, without those that contain nothing but comments. A
// document begins after a line "---", and ends before a line "...", after which another one
// may follow.
func Split(file []byte) []Document {
	var out []Document
	var doc Document
	end := func() {
		if doc.Line > 0 {
			out = append(out, doc)
		}
		doc = Document{before: doc.before}
	}
	file = bytes.TrimPrefix(file, []byte("\ufeff"))
	for n := 1; len(file) > 0; n++ {
		line := file
		if i := bytes.IndexByte(file, '\n'); i >= 0 {
			line = file[:i+1]
		}
		start := len(doc.Data)
		if rest, ok := afterMarker(line); ok {
			end()
			start, doc.before = 0, n-1
			doc.Data = append(doc.Data, rest...)
		} else {
			doc.Data = append(doc.Data, line...)
		}
		if text := bytes.TrimSpace(doc.Data[start:]); doc.Line == 0 && len(text) > 0 && text[0] != '#' {
			doc.Line = n
		}
		file = file[len(line):]
	}
	end()
	return out
}

// afterMarker returns what follows the marker of a document at the start of a line.
func afterMarker(line []byte) (rest []byte, ok bool) {
	for _, marker := range []string{"---", "..."} {
		if rest, ok = bytes.CutPrefix(line, []byte(marker)); ok {
			return rest, len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0]))
		}
	}
	return nil, false
}

// An Object identifies a Kubernetes object.
type Object struct{ APIVersion, Kind, Namespace, Name string }

// Group returns the API group of the object, which is empty for the core one.
func (o Object) Group() string {
	group, _, ok := strings.Cut(o.APIVersion, "/")
	if !ok {
		return ""
	}
	return group
}

// Key identifies the object in a cluster whose default namespace it is in: two versions
// of its kind are one object.
func (o Object) Key() Object { return Object{o.Group(), o.Kind, o.Namespace, o.Name} }

// String returns the kind and the name, such as "Deployment web".
func (o Object) String() string { return o.Kind + " " + o.Name }

// IsCRD reports whether the object is a CustomResourceDefinition.
func (o Object) IsCRD() bool {
	return o.Kind == "CustomResourceDefinition" && o.Group() == "apiextensions.k8s.io"
}

// Objects returns the objects of a document, converted to JSON: one object, or those of a
// List, each with its JSON.
func Objects(doc []byte) ([]Object, [][]byte, error) {
	var o struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name         string `json:"name"`
			Namespace    string `json:"namespace"`
			GenerateName string `json:"generateName"`

			Annotations map[string]string `json:"annotations"`
			Labels      map[string]string `json:"labels"`
		} `json:"metadata"`
		Items []json.RawMessage `json:"items"`
	}
	if trimmed := bytes.TrimSpace(doc); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, nil, errors.New("it is not a Kubernetes object: want a mapping with apiVersion, kind and metadata")
	}
	if err := json.Unmarshal(doc, &o); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return nil, nil, fmt.Errorf("it is not a Kubernetes object: %s is a %s", wrong.Field, wrong.Value)
		}
		return nil, nil, err
	}
	at := Object{o.APIVersion, o.Kind, o.Metadata.Namespace, o.Metadata.Name}
	switch {
	case o.Kind == "":
		return nil, nil, &KindError{}
	case o.APIVersion == "":
		return nil, nil, fmt.Errorf("%s has no apiVersion", strings.TrimSpace(at.String()))
	case o.Kind == "List" && at.Group() == "":
		var objects []Object
		var texts [][]byte
		for i, item := range o.Items {
			more, text, err := Objects(item)
			if err != nil {
				return nil, nil, fmt.Errorf("items[%d]: %w", i, err)
			}
			objects, texts = append(objects, more...), append(texts, text...)
		}
		return objects, texts, nil
	case o.Metadata.Name == "" && o.Metadata.GenerateName != "":
		return nil, nil, fmt.Errorf("%s has generateName instead of a name: a release consists of named objects", o.Kind)
	case o.Metadata.Name == "":
		return nil, nil, fmt.Errorf("%s has no metadata.name", o.Kind)
	}
	if hook := unknownHook(o.Metadata.Annotations["helm.sh/hook"]); hook != "" {
		return nil, nil, fmt.Errorf("%s has the Helm hook %q, which does not exist: Helm would leave the object out", at, hook)
	}
	return []Object{at}, [][]byte{doc}, nil
}

// unknownHook returns the first of the hooks in an annotation that Helm does not know, or "".
func unknownHook(annotation string) string {
	if annotation == "" {
		return ""
	}
	for hook := range strings.SplitSeq(annotation, ",") {
		hook = strings.ToLower(strings.TrimSpace(hook))
		when, what, _ := strings.Cut(hook, "-")
		ofAction := (when == "pre" || when == "post") && (what == "install" || what == "upgrade" || what == "rollback" || what == "delete")
		if !ofAction && hook != "test" && hook != "test-success" {
			return hook
		}
	}
	return ""
}

// A KindError means that a document has no kind, and so is not a Kubernetes object.
type KindError struct{}

func (*KindError) Error() string { return "it has no kind" }
