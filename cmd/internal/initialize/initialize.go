// Package initialize writes a first Pipelinefile from what a directory already has:
// Dockerfiles, a compose file, Kubernetes manifests or a helmfile.
//
// A reader for each fills a model of services, and one writer prints it. Nothing is
// executed, nothing outside of the directory is read, and no value of a secret is
// written. Features that the language cannot express become comments at the service.
package initialize

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/builtins"
)

// Options select the input.
type Options struct {
	Dir  string // the directory with the input
	From string // a file or directory, relative to Dir or absolute; empty: the best one found
}

// A Result is a Pipelinefile, with a summary.
type Result struct {
	Text     []byte
	From     string   // the source, relative to the directory
	Services int      // number of declared services
	Left     int      // number of features that were not converted: comments that start with TODO
	Secrets  []string // variables that still need values
	Also     []string // other possible sources, relative to the directory
}

// A NothingError says that a directory has no source for a Pipelinefile.
type NothingError struct {
	Dir       string
	Languages []string // the languages in it, such as "Go (go.mod)"
}

func (e *NothingError) Error() string {
	text := "found no compose file, helmfile, Kubernetes manifests or Dockerfile in " + e.Dir
	if len(e.Languages) > 0 {
		return text + ", only " + strings.Join(e.Languages, ", ") + "; write a Dockerfile next to it, and run pipe init again"
	}
	return text + "; write a Dockerfile, or name one of them with --from"
}

var (
	composeNames  = []string{"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"}
	helmfileNames = []string{"helmfile.yaml", "helmfile.yml", "helmfile.yaml.gotmpl"}
	manifestDirs  = []string{"k8s", "k8s-specifications", "kubernetes", "kubernetes-manifests", "manifests", "deploy", "release"}
)

// Make reads the source that Options select and returns a Pipelinefile for it. It is
// deterministic.
func Make(ctx context.Context, o Options) (*Result, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // only read
	f := &files{root: root}
	from, also := ".", []string(nil)
	if o.From != "" {
		if from, err = f.inside(dir, o.From); err != nil {
			return nil, err
		}
	} else {
		found, err := f.find()
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			from, also = found[0], found[1:]
		}
	}
	p := &project{name: label(filepath.Base(dir), maxPipelineName), from: from}
	if p.name == "" {
		p.name = "app"
	}
	read, err := f.reader(from)
	if err != nil {
		return nil, err
	}
	if err := read(ctx, f, dir, from, p); err != nil {
		return nil, err
	}
	if len(p.services) == 0 {
		if from == "." {
			return nil, &NothingError{Dir: o.Dir, Languages: f.languages(".")}
		}
		return nil, fmt.Errorf("%s declares no service: select another source with --from", from)
	}
	p.rename()
	p.order()
	secrets := p.tell()
	result := &Result{From: from, Services: len(p.services), Secrets: secrets, Also: also, Left: len(p.notes)}
	for _, s := range p.services {
		result.Left += len(s.notes)
	}
	if from == "." {
		p.from = "its Dockerfiles"
	}
	result.Text, err = p.write(secrets)
	return result, err
}

// inside returns the slash-separated path of the --from argument, relative to the
// directory.
func (f *files) inside(dir, from string) (string, error) {
	name := from
	if filepath.IsAbs(name) {
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return "", err
		}
		name = rel
	}
	name = path.Clean(filepath.ToSlash(name))
	if !local(name) {
		return "", fmt.Errorf("%s is outside of the directory %s: run pipe init in a directory that contains both", from, dir)
	}
	switch _, err := f.stat(name); {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s does not exist", from)
	case err != nil:
		return "", fmt.Errorf("read %s: %w; symbolic links must not lead out of the directory", from, err)
	}
	return name, nil
}

// find returns the possible sources of a Pipelinefile, the best first.
func (f *files) find() ([]string, error) {
	var found []string
	for _, names := range [][]string{composeNames, helmfileNames} {
		if i := slices.IndexFunc(names, f.isFile); i >= 0 {
			found = append(found, names[i])
		}
	}
	for _, dir := range manifestDirs {
		if f.isDir(dir) && f.hasManifests(dir) {
			found = append(found, dir)
		}
	}
	return found, nil
}

// reader detects the type of a source from its content.
func (f *files) reader(from string) (func(context.Context, *files, string, string, *project) error, error) {
	if f.isDir(from) {
		if from != "." && (f.hasManifests(from) || slices.ContainsFunc(builtins.KustomizationNames, func(name string) bool { return f.isFile(path.Join(from, name)) })) {
			return readManifests, nil
		}
		for _, name := range slices.Concat(composeNames, helmfileNames) {
			if file := path.Join(from, name); from != "." && f.isFile(file) {
				return nil, fmt.Errorf("%s is a directory; name the file: --from %s", from, file)
			}
		}
		return readDockerfiles, nil
	}
	if base := path.Base(from); base == "Dockerfile" || strings.HasPrefix(base, "Dockerfile.") || strings.HasSuffix(base, ".Dockerfile") {
		return readDockerfiles, nil
	}
	if path.Base(from) == "Tiltfile" {
		return nil, unread(from, "Tilt", "from-tilt")
	}
	if slices.Contains(builtins.KustomizationNames, path.Base(from)) {
		return nil, fmt.Errorf("%s is the file of a kustomization; name its directory: --from %s", from, path.Dir(from))
	}
	data, err := f.text(from)
	if err != nil {
		return nil, err
	}
	if slices.Contains(helmfileNames, path.Base(from)) {
		return readHelmfile, nil
	}
	docs, err := documents(from, data)
	if err != nil {
		clean, _ := untemplate(string(data))
		if more, e := documents(from, []byte(clean)); e == nil && has(more, "releases") {
			return readHelmfile, nil
		}
		return nil, err
	}
	switch {
	case strings.HasPrefix(apiVersion(docs), "skaffold/"):
		return nil, unread(from, "Skaffold", "from-skaffold")
	case has(docs, "apiVersion") && has(docs, "kind"):
		return readManifests, nil
	case has(docs, "releases") || has(docs, "helmfiles"):
		return readHelmfile, nil
	case has(docs, "services") || has(docs, "include"):
		return readCompose, nil
	}
	return nil, fmt.Errorf("%s is not a compose file (services:), helmfile (releases:) or Kubernetes manifest (apiVersion: and kind:); name another with --from", from)
}

// unread is the error for the file of a tool whose files are not read.
func unread(from, tool, page string) error {
	return fmt.Errorf("%s is a file of %s, which pipe init does not read: name its manifests, such as --from k8s, or its Dockerfiles, --from .; docs/howto/%s.md shows what becomes what", from, tool, page)
}

// apiVersion returns that of the first document.
func apiVersion(docs []any) string {
	if len(docs) == 0 {
		return ""
	}
	m, _ := docs[0].(map[string]any)
	version, _ := m["apiVersion"].(string)
	return version
}

// has reports whether any of the documents has the key.
func has(docs []any, key string) bool {
	return slices.ContainsFunc(docs, func(d any) bool {
		m, _ := d.(map[string]any)
		return m[key] != nil
	})
}
