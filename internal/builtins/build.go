package builtins

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/plan"
)

// A sourceValue is the value of local() and git().
type sourceValue struct {
	opaque
	plan   plan.Source
	remote bool // of git(); an invalid URL is not passed on
}

// String returns the call that makes it.
func (s *sourceValue) String() string {
	if s.remote {
		return "git(" + starlark.String(s.plan.Git).String() + ")"
	}
	return "local(" + starlark.String(s.plan.Path).String() + ")"
}

// Type returns "source".
func (s *sourceValue) Type() string { return "source" }

// Instead says how a chart is taken from a source.
func (s *sourceValue) Instead(want string) string {
	switch {
	case want != "chart":
		return ""
	case s.remote:
		return "write chart(git(…))"
	}
	return "write chart(" + starlark.String(s.plan.Path).String() + ")"
}

type localArgs struct {
	Path string `arg:"path" default:"\".\"" path:"directory" help:"a directory, relative to the file of the call"`
}

var localFunc = declare("local", "source", "Takes the source of an image from a directory of the workspace.",
	func(c *Call, a *localArgs) (starlark.Value, error) {
		dir, p := c.resolve(a.Path)
		if p == nil {
			p = c.checkFolder(dir)
		}
		c.wrong("path", p)
		return &sourceValue{plan: plan.Source{Path: dir}}, nil
	})

func (c *Call) checkFolder(dir string) *explain.Error {
	info, err := c.Session.Files.stat(dir)
	if err != nil {
		return c.Session.Files.problem(dir, err)
	}
	if !info.IsDir() {
		return explain.Errorf("%s is a file, not a directory", dir).WithHint("write %q", path.Dir(dir))
	}
	return nil
}

type gitArgs struct {
	URL  string `arg:"url" help:"of the repository: https://, ssh:// or git@host:path"`
	Ref  string `arg:"ref,kw" default:"\"HEAD\"" help:"a branch, a tag or a commit"`
	Path string `arg:"path,kw" default:"\"\"" help:"a directory of the repository"`
}

var gitFunc = declare("git", "source", "Takes the source of an image, or a chart, from a git repository.",
	func(c *Call, a *gitArgs) (starlark.Value, error) {
		if p := checkCredentials(a.URL, "remove it, and give it to one of git's credential helpers: git help credentials"); p != nil {
			c.wrong("url", p)
			a.URL = "" // do not pass it on
		} else if c.Valid("url") && (len(a.URL) > maxRef || !explain.IsGitURL(a.URL)) {
			c.wrong("url", explain.Errorf("%q is not a valid address of a git repository", explain.Clip(a.URL)).WithHint(`write, for example, "https://github.com/owner/name"; a directory of the workspace is local()`))
		}
		if len(a.Ref) > maxRef || !isGitRef(a.Ref) {
			c.wrong("ref", explain.Errorf("%q is not a valid branch, tag or commit", explain.Clip(a.Ref)))
		}
		dir, p := below(a.Path, "the repository")
		c.wrong("path", p)
		return &sourceValue{plan: plan.Source{Git: a.URL, Ref: a.Ref, Path: dir}, remote: true}, nil
	})

// isGitRef reports whether git permits s as the name of a branch or a tag, see git-check-ref-format(1).
// Characters that cannot be seen are refused, too.
func isGitRef(s string) bool {
	if s == "" || s == "@" || s[0] == '-' || strings.HasSuffix(s, ".") || strings.Contains(s, "..") || strings.Contains(s, "@{") || !utf8.ValidString(s) {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(` ~^:?*[\`, r) })
}

// below checks and cleans a path that must stay below the directory that what names. It
// leaves "" unchanged.
func below(p, what string) (string, *explain.Error) {
	if p == "" {
		return "", nil
	}
	clean, pr := paths.Resolve(".", p)
	if pr != nil && paths.Leaves(path.Join(".", p)) {
		pr = explain.Errorf("%q leaves %s", explain.Clip(p), what)
	}
	return clean, pr
}

// A Build is the value of dockerfile(), command_build(), go_image() and buildpack().
type Build struct {
	opaque
	name string            // of the function
	plan plan.BuildSpec    // without ID and Source; Dockerfile is below the context
	args map[string]*Image // arguments that are images
}

// String returns "dockerfile(…)" and the like.
func (b *Build) String() string { return b.name + "(…)" }

// Type returns "build".
func (b *Build) Type() string { return "build" }

type dockerfileArgs struct {
	Context   string            `arg:"context,kw" default:"\".\"" path:"directory" help:"the directory that COPY copies from, relative to the source"`
	File      string            `arg:"file,kw" default:"\"Dockerfile\"" path:"file" help:"the Dockerfile, relative to the context"`
	Target    string            `arg:"target,kw" default:"None" help:"the stage of the Dockerfile to build; the last if not given"`
	Args      buildArgs         `arg:"args,kw" default:"{}" help:"values of ARG; the image of a service is built before, and its reference is the value"`
	Platforms []string          `arg:"platforms,kw" default:"[]" help:"such as \"linux/arm64\"; the builder's own if empty"`
	Secrets   []secretItem      `arg:"secrets,kw" default:"[]" help:"for RUN --mount=type=secret,id=NAME"`
	Labels    map[string]string `arg:"labels,kw" default:"{}" help:"of the image"`
}

// isPlatform reports whether s is a platform, such as "linux/amd64" or "linux/arm/v7".
func isPlatform(s string) bool {
	system, rest, _ := strings.Cut(s, "/")
	architecture, variant, has := strings.Cut(rest, "/")
	if has && (!strings.HasPrefix(variant, "v") || variant == "v" || strings.Trim(variant[1:], "0123456789.") != "") {
		return false
	}
	return slices.Contains([]string{"linux", "windows", "darwin", "freebsd"}, system) && alphanumeric.fits(architecture) && architecture == strings.ToLower(architecture)
}

// usualPlatform returns the usual name of a platform: some platforms have two.
func usualPlatform(p string) string {
	for _, same := range [][2]string{{"/arm64/v8", "/arm64"}, {"/amd64/v1", "/amd64"}, {"/arm/v7", "/arm"}} {
		if system, ok := strings.CutSuffix(p, same[0]); ok {
			return system + same[1]
		}
	}
	return p
}

// platforms checks the platforms of an image.
func (c *Call) platforms(all []string) {
	first := make(map[string]int)
	for i, p := range all {
		if !isPlatform(p) {
			c.wrong("platforms", explain.Errorf("%q is not a valid platform", explain.Clip(p)).WithHint(`write, for example, "linux/amd64"`).In(i))
			continue
		}
		name := usualPlatform(p)
		if j, twice := first[name]; twice {
			c.wrong("platforms", explain.Errorf("%q is the same platform as %q in platforms[%d]", p, all[j], j).WithHint("leave one out").In(i))
			continue
		}
		first[name] = i
	}
}

var dockerfileFunc = declare("dockerfile", "build", "Describes how an image is built.",
	func(c *Call, a *dockerfileArgs) (starlark.Value, error) {
		context, p := below(a.Context, "the source")
		c.wrong("context", p)
		if context == "" {
			context = "."
		}
		if a.File == "" {
			c.wrong("file", explain.Errorf("is empty"))
		}
		// The file may be outside of the context, so whether it leaves the source can
		// only be checked together with the context.
		file, p := paths.Resolve(context, a.File)
		if p != nil && paths.Leaves(path.Join(context, a.File)) {
			p = explain.Errorf("%q leaves the source", explain.Clip(a.File))
		}
		c.wrong("file", p)
		if !c.Valid("file") {
			file = "" // report nothing else about it
		}
		if a.Target != "" && (len(a.Target) > maxRef || !buildTarget.fits(a.Target)) {
			c.wrong("target", explain.Errorf("%q is not a valid stage name", explain.Clip(a.Target)))
		}
		for _, k := range a.Args.names() {
			if !buildArg.fits(k) {
				c.wrong("args", explain.Errorf("%q is not a valid ARG name", explain.Clip(k)))
			}
		}
		c.platforms(a.Platforms)
		spec := plan.BuildSpec{
			Context: context, Dockerfile: file, Target: a.Target, Args: a.Args.text, Platforms: a.Platforms,
			Labels: a.Labels, Pos: c.Pos(),
		}
		for _, s := range a.Secrets {
			spec.Secrets = append(spec.Secrets, plan.SecretRef(s))
		}
		return &Build{name: "dockerfile", plan: spec, args: a.Args.images}, nil
	})

// buildArgs are the arguments of a build: strings, and images of services.
type buildArgs struct {
	text   map[string]string
	images map[string]*Image
}

func (buildArgs) TypeName() string { return "dict[str, str | image]" }

// Unpack accepts strings and images.
func (a *buildArgs) Unpack(v starlark.Value) error {
	if _, ok := v.(*starlark.Dict); !ok {
		return convert.Want("dict", v).WithHint(`write {"NAME": "value"}`)
	}
	a.text = map[string]string{}
	p := convert.Entries(v, "dict", func(name string, v starlark.Value) *explain.Error {
		switch v := v.(type) {
		case *Image:
			if a.images == nil {
				a.images = map[string]*Image{}
			}
			a.images[name] = v
			return nil
		case *Service:
			return explain.Errorf("want string or image, got service").WithHint("write %s", v.Example("image"))
		}
		var text string
		p := convert.String(&text, v)
		a.text[name] = text
		return p
	})
	if p != nil {
		return p
	}
	return nil
}

// names returns the names of the arguments, sorted.
func (a *buildArgs) names() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name := range a.text {
			if !yield(name) {
				return
			}
		}
		for name := range a.images {
			if !yield(name) {
				return
			}
		}
	})
}

// secretItem is a secret, or the name of one.
type secretItem plan.SecretRef

func (secretItem) TypeName() string { return "secret | str" }

// Unpack accepts both.
func (s *secretItem) Unpack(v starlark.Value) error {
	ref, p := secretRef(v)
	if p != nil {
		return p
	}
	*s = secretItem(*ref)
	return nil
}

// buildImage returns the image that build makes of source, for a call of application() or
// job(), and checks that the required arguments are set.
func (c *Call) buildImage(source *sourceValue, build *Build) *Image {
	if source == nil {
		dir, p := c.resolve(".")
		c.wrong("source", p)
		source = &sourceValue{plan: plan.Source{Path: dir}}
	}
	var spec plan.BuildSpec
	var args map[string]*Image
	if build == nil {
		spec = plan.BuildSpec{Context: ".", Dockerfile: "Dockerfile", Pos: c.Pos()}
	} else {
		spec, args = build.plan, build.args
	}
	spec.Source = source.plan
	if source.remote && spec.Command != nil && len(spec.Command.Inputs) > 0 {
		c.rejectAt("build", explain.Errorf("inputs= of command_build() has no effect here: the source is a git repository, so the image depends on its commit").
			WithHint("leave out inputs="), plan.Related{Pos: spec.Pos, Message: build.String() + " is here"})
	}
	if source.remote {
		return &Image{Build: &spec, Args: args}
	}
	files, root := c.Session.Files, spec.Source.Path
	param := "build"
	if build == nil {
		param = "source"
	}
	if !files.isFolder(root) {
		return &Image{Build: &spec, Args: args} // local() has reported the error
	}
	context, dockerfile := path.Join(root, spec.Context), path.Join(root, spec.Dockerfile)
	if p := c.checkFolder(context); p != nil {
		p.Msg = "the context " + p.Msg
		c.wrong(param, p)
		return &Image{Build: &spec, Args: args}
	}
	files.note(context, plan.InputContext, "")
	if spec.Go != nil && spec.Go.Package != "" {
		if p := c.checkFolder(path.Join(root, spec.Go.Package)); p != nil {
			p.Msg = "the package " + p.Msg
			c.wrong(param, p)
		}
	}
	if spec.Dockerfile == "" {
		return &Image{Build: &spec, Args: args}
	}
	if _, err := files.Read(dockerfile, plan.InputDockerfile); err != nil {
		p := files.problem(dockerfile, err)
		if p.Hint == "" && !c.Given("source") && build == nil {
			p.Hint = "it is built from source: name the directory with source = local(…), or give image="
		} else if p.Hint == "" && build == nil {
			p.Hint = "another name is given with build = dockerfile(file = …)"
		} else if p.Hint == "" {
			p.Hint = "file= of dockerfile() is taken from its context=, and that from the source"
		}
		c.wrong(param, p)
	}
	return &Image{Build: &spec, Args: args}
}
