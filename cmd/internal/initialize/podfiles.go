package initialize

import (
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinefile/pipe/internal/builtins"
)

// A podFile is a file in the container of a service. Its content is one of: a file of the
// directory, a string, a secret.
type podFile struct {
	path   string
	dir    string // a directory that is mounted as a whole
	from   string
	text   string
	secret string
	key    string
}

// addFile adds a file, unless another one has its path.
func (s *service) addFile(f podFile) {
	if slices.ContainsFunc(s.files, func(o podFile) bool { return o.path == f.path }) {
		s.note("a second file at %s was left out.", quoted(f.path))
		return
	}
	s.files = append(s.files, f)
}

// fromFile adds a file of the directory at a path of the container. It reports whether
// there is one.
func (c *composer) fromFile(out *service, abs, at string) bool {
	rel, err := filepath.Rel(c.dir, abs)
	if err != nil || !filepath.IsLocal(rel) || !c.isFile(filepath.ToSlash(rel)) || !builtins.IsMountPath(at) {
		return false
	}
	if _, err := c.text(filepath.ToSlash(rel)); err != nil {
		return false
	}
	out.addFile(podFile{path: at, from: filepath.ToSlash(rel)})
	return true
}

// configs converts configs and secrets that are files.
func (c *composer) configs(out *service, s *types.ServiceConfig, all *types.Project) {
	for _, sec := range s.Secrets {
		at := sec.Target
		if !path.IsAbs(at) {
			if at == "" {
				at = sec.Source
			}
			at = path.Join("/run/secrets", at)
		}
		if name := secretOf(sec.Source); name != "" && builtins.IsMountPath(at) {
			out.addFile(podFile{path: path.Clean(at), secret: name})
		} else {
			out.note("secret %s was left out.", quoted(sec.Source))
		}
	}
	for _, conf := range s.Configs {
		at := conf.Target
		if at == "" {
			at = "/" + conf.Source
		}
		of := all.Configs[conf.Source]
		switch {
		case of.File != "" && c.fromFile(out, of.File, path.Clean(at)):
		case of.Content != "" && builtins.IsMountPath(at) && !hasSecret(of.Content):
			out.addFile(podFile{path: path.Clean(at), text: of.Content})
		default:
			out.note("config %s was left out: set files = {%s: read_file(…)}.", quoted(conf.Source), str(at))
		}
	}
}

// mountConfig converts a ConfigMap that is mounted at a path.
func (c *cluster) mountConfig(s *service, source *corev1.ConfigMapVolumeSource, m corev1.VolumeMount) {
	at := path.Clean("/" + m.MountPath)
	config, ok := c.configMaps[source.Name]
	var keys []string
	if ok {
		keys = slices.Sorted(maps.Keys(config.Data))
	}
	if len(config.BinaryData) > 0 || !ok || !builtins.IsMountPath(at) || slices.ContainsFunc(keys, func(k string) bool { return hasSecret(config.Data[k]) }) {
		s.note("the ConfigMap %s was mounted at %s and was left out: set files = {%s: {\"name\": read_file(…)}}.", quoted(source.Name), quoted(at), str(at))
		return
	}
	for _, item := range chosen(source.Items, keys, m.SubPath) {
		if text, has := config.Data[item.Key]; has {
			f := podFile{text: text}
			f.place(at, item.Path, m.SubPath)
			s.addFile(f)
		}
	}
}

// mountSecret converts a Secret that is mounted at a path.
func (c *cluster) mountSecret(s *service, source *corev1.SecretVolumeSource, m corev1.VolumeMount) {
	at := path.Clean("/" + m.MountPath)
	items := chosen(source.Items, c.secrets[source.SecretName], m.SubPath)
	if len(items) == 0 && m.SubPath != "" {
		items = []corev1.KeyToPath{{Key: m.SubPath, Path: m.SubPath}}
	}
	if len(items) == 0 || !builtins.IsMountPath(at) {
		s.note("the Secret %s was mounted at %s and was left out, because its keys are unknown: set files = {%s: {\"name\": secret(%q, key = …)}}.", quoted(source.SecretName), quoted(at), str(at), source.SecretName)
		return
	}
	for _, item := range items {
		f := podFile{secret: secretOf(source.SecretName), key: secretOf(item.Key)}
		f.place(at, item.Path, m.SubPath)
		s.addFile(f)
	}
}

// chosen returns the items of a volume that are mounted: those of the volume, or all keys,
// or the one that subPath names.
func chosen(items []corev1.KeyToPath, keys []string, subPath string) []corev1.KeyToPath {
	if len(items) == 0 {
		for _, k := range keys {
			items = append(items, corev1.KeyToPath{Key: k, Path: k})
		}
	}
	return slices.DeleteFunc(slices.Clone(items), func(i corev1.KeyToPath) bool {
		clean := path.Clean("/" + i.Path)
		return !builtins.IsFileName(clean[1:]) || subPath != "" && clean != path.Clean("/"+subPath)
	})
}

// place sets the path of a file of a volume that is mounted at a path.
func (f *podFile) place(at, name, subPath string) {
	if f.path = at; subPath == "" {
		f.path, f.dir = path.Join(at, name), at
	}
}

// podFiles writes files=.
func (w *writer) podFiles(files []podFile) {
	if len(files) == 0 {
		return
	}
	w.WriteString("    files = {\n")
	done := map[string]bool{}
	for _, f := range files {
		switch {
		case f.dir == "":
			w.WriteString("        " + str(f.path) + ": " + f.content() + ",\n")
		case !done[f.dir]:
			done[f.dir] = true
			w.WriteString("        " + str(f.dir) + ": {\n")
			for _, o := range files {
				if o.dir == f.dir {
					w.WriteString("            " + str(strings.TrimPrefix(o.path, f.dir+"/")) + ": " + o.content() + ",\n")
				}
			}
			w.WriteString("        },\n")
		}
	}
	w.WriteString("    },\n")
}

func (f podFile) content() string {
	switch {
	case f.from != "":
		return "read_file(" + str(f.from) + ")"
	case f.secret != "":
		return secretText(f.secret, f.key)
	}
	return lines(f.text)
}

// lines formats a text of several lines in triple quotes.
func lines(text string) string {
	if !strings.Contains(text, "\n") || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }) {
		return str(text)
	}
	return `"""` + strings.NewReplacer(`\`, `\\`, `"""`, `\"\"\"`).Replace(strings.ToValidUTF8(text, "\ufffd")) + `"""`
}
