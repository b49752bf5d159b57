package runtime

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// ImageInputs are what an image is built from (I1), in a form that is small enough to be kept
// beside each image, to say later in what two images differ. Contents and values are
// represented by 16 bits of their digests: enough to notice a change, and too few to guess
// them.
type ImageInputs struct {
	Commit     string            `json:"commit,omitempty"`     // of a git source
	Path       string            `json:"path,omitempty"`       // of the context in the commit
	Dockerfile string            `json:"dockerfile,omitempty"` // its content; with a commit, its path
	Target     string            `json:"target,omitempty"`
	Platforms  []string          `json:"platforms,omitempty"`
	Args       map[string]string `json:"args,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Bases      map[string]string `json:"bases,omitempty"`    // the images of arguments
	Secrets    []string          `json:"secrets,omitempty"`  // as "name" or "name/key"
	Command    string            `json:"command,omitempty"`  // that makes the image, with its arguments
	Env        map[string]string `json:"env,omitempty"`      // of the command
	Compiler   string            `json:"compiler,omitempty"` // the version of the go command that is the command
	// Files are the files of the context, directories and links, by path, with their modes. Nil
	// if there are more than MaxInputFiles, or none.
	Files map[string]string `json:"files,omitempty"`
	// Count is the number of files, and Content represents all of them.
	Count   int    `json:"count,omitempty"`
	Content string `json:"content,omitempty"`
}

// MaxInputFiles is the number of files up to which each is kept.
const MaxInputFiles = 10_000

// InputDigest returns what represents a content or a value.
func InputDigest(d plan.Digest) string {
	_, hex, _ := strings.Cut(string(d), ":")
	return hex[:min(4, len(hex))]
}

// An InputChange is an input in which two images differ.
type InputChange struct {
	Kind string     `json:"kind"`           // such as "file", "argument", "Dockerfile"
	Name string     `json:"name,omitempty"` // of the file, the argument…; empty: there is one of the kind
	How  ChangeKind `json:"how"`
	// Was and Is are the values, if they are known and say more than that they differ.
	Was string `json:"was,omitempty"`
	Is  string `json:"is,omitempty"`
}

// InputImage is the kind of an input that is the image of an argument, whose name it has.
const InputImage = "image of argument"

// A ChangeKind says how an input differs.
type ChangeKind string

// How an input differs.
const (
	InputAdded   ChangeKind = "added"
	InputChanged ChangeKind = "changed"
	InputRemoved ChangeKind = "removed"
)

// Since returns in what the inputs differ from earlier ones, by kind and name.
func (is *ImageInputs) Since(was *ImageInputs) []InputChange {
	var all []InputChange
	one := func(kind, was, is string, shown bool) {
		if was == is {
			return
		}
		c := InputChange{Kind: kind, How: InputChanged}
		switch "" {
		case was:
			c.How = InputAdded
		case is:
			c.How = InputRemoved
		}
		if shown {
			c.Was, c.Is = was, is
		}
		all = append(all, c)
	}
	many := func(kind string, was, is map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(is)) {
			before, there := was[name]
			switch {
			case !there:
				all = append(all, InputChange{Kind: kind, Name: name, How: InputAdded})
			case before != is[name]:
				all = append(all, InputChange{Kind: kind, Name: name, How: InputChanged})
			}
		}
		for _, name := range slices.Sorted(maps.Keys(was)) {
			if _, there := is[name]; !there {
				all = append(all, InputChange{Kind: kind, Name: name, How: InputRemoved})
			}
		}
	}
	set := func(names []string) map[string]string {
		out := make(map[string]string)
		for _, name := range names {
			out[name] = ""
		}
		return out
	}
	one("commit", was.Commit, is.Commit, true)
	one("path in the repository", was.Path, is.Path, true)
	one("Dockerfile", was.Dockerfile, is.Dockerfile, is.Commit != "" && was.Commit != "")
	one("command", was.Command, is.Command, false)
	many("environment variable", was.Env, is.Env)
	one("go command", was.Compiler, is.Compiler, true)
	one("target", was.Target, is.Target, true)
	one("platforms", strings.Join(was.Platforms, ", "), strings.Join(is.Platforms, ", "), true)
	many("argument", was.Args, is.Args)
	many(InputImage, was.Bases, is.Bases)
	many("label", was.Labels, is.Labels)
	many("secret", set(was.Secrets), set(is.Secrets))
	if (was.Files != nil || was.Count == 0) && (is.Files != nil || is.Count == 0) {
		many("file", was.Files, is.Files)
	} else {
		one("content of the build context", was.Content, is.Content, false)
	}
	return all
}

// String describes the change, such as "file main.go changed".
func (c InputChange) String() string {
	text := strings.TrimSpace(c.Kind+" "+c.Name) + " " + string(c.How)
	if c.Was != "" || c.Is != "" {
		text += ": " + cmp.Or(c.Was, "none") + " -> " + cmp.Or(c.Is, "none")
	}
	return text
}
