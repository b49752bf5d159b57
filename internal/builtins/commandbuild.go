package builtins

import (
	"maps"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

type commandBuildArgs struct {
	Command   []string          `arg:"command" help:"the program and its arguments, such as [\"bazel\", \"run\", \"//api:image\", \"--\", \"$(PIPE_OUTPUT)\"]; no shell"`
	Inputs    []string          `arg:"inputs,kw" default:"[]" help:"patterns of the files that the image depends on, relative to the source; those that begin with ! leave files out again; all that .dockerignore does not exclude if empty"`
	Output    string            `arg:"output,kw" default:"None" help:"a directory or a file of the source that the program writes the image to; the value of the variable PIPE_OUTPUT if not given"`
	Image     string            `arg:"image,kw" default:"None" help:"the name of the image, such as \"api:1.2\", if the program writes several"`
	Env       map[string]string `arg:"env,kw" default:"{}" help:"the environment of the program, besides PATH, HOME, PIPE_OUTPUT and PIPE_PLATFORMS"`
	Platforms []string          `arg:"platforms,kw" default:"[]" help:"such as \"linux/arm64\"; the builder's own if empty"`
}

var commandBuildFunc = declare("command_build", "build", "Describes how a program of this machine makes an image. pipe run runs it in the directory of the source, if no image of the same inputs exists.",
	func(c *Call, a *commandBuildArgs) (starlark.Value, error) {
		c.refuseLibrary()
		switch {
		case !c.Valid("command"):
		case len(a.Command) == 0 || a.Command[0] == "":
			c.wrong("command", explain.Errorf("names no program").WithHint(`write, for example, ["./build.sh"]`))
		case strings.ContainsAny(a.Command[0], "\r\n"):
			c.wrong("command", explain.Errorf("%q is not the name of a program", explain.Clip(a.Command[0])).In(0))
		case len(a.Command) == 1 && strings.ContainsRune(a.Command[0], ' '):
			c.wrong("command", explain.Errorf("%q is a program and its arguments in one string", explain.Clip(a.Command[0])).WithHint("write [%s]", explain.Clip(explain.Literals(explain.ShellWords(a.Command[0])))))
		}
		for i, arg := range a.Command {
			if strings.ContainsRune(arg, 0) {
				c.wrong("command", explain.Errorf("contains a NUL byte").In(i))
			}
		}
		c.environ(a.Env)
		inputs := make([]string, len(a.Inputs))
		for i, pattern := range a.Inputs {
			var p *explain.Error
			if inputs[i], p = inputPattern(pattern); p != nil {
				c.wrong("inputs", p.In(i))
			}
		}
		if len(inputs) > 0 && !slices.ContainsFunc(inputs, func(p string) bool { return !strings.HasPrefix(p, "!") }) {
			c.wrong("inputs", explain.Errorf("only leaves files out").WithHint(`begin with "**", which matches all files`))
		}
		if c.Given("image") && (a.Image == "" || len(a.Image) > maxRef || strings.ContainsFunc(a.Image, func(r rune) bool { return r <= ' ' || r == 0x7f })) {
			c.wrong("image", explain.Errorf("%q is not the name of an image", explain.Clip(a.Image)).WithHint(`write, for example, "api:1.2"`))
		}
		c.platforms(a.Platforms)
		return &Build{name: "command_build", plan: plan.BuildSpec{
			Context: ".", Platforms: a.Platforms, Pos: c.Pos(),
			Command: &plan.BuildCommand{Args: a.Command, Env: a.Env, Inputs: inputs, Output: c.output(a.Output), Image: a.Image},
		}}, nil
	})

// refuseLibrary reports a call in a module that is not a file of the workspace: the authors of the
// workspace have not written what would run on their machine.
func (c *Call) refuseLibrary() {
	if _, src := c.Session.frame(c.Thread, func(*Source) bool { return true }); src != nil && src.Library {
		c.reject(c.Pos(), explain.Errorf("%s: %s calls it, and only a file of the workspace may, because it runs a program on this machine", c.Func.Name, src.Name).
			WithHint("call %s() in the Pipelinefile, and pass the build to the module", c.Func.Name))
	}
}

// environ checks the environment of a program of this machine.
func (c *Call) environ(env map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		switch value := env[name]; {
		case !buildArg.fits(name):
			c.wrong("env", explain.Errorf("%q is not a valid name of an environment variable", explain.Clip(name)))
		case strings.HasPrefix(name, "PIPE_"):
			c.wrong("env", explain.Errorf("names that begin with PIPE_ are reserved for pipe").WithHint("give %s another name", name).In(name))
		case strings.ContainsRune(value, 0):
			c.wrong("env", explain.Errorf("contains a NUL byte").In(name))
		}
	}
}

// output checks the path of the output of a command.
func (c *Call) output(p string) string {
	if p == "" {
		return ""
	}
	clean, e := below(p, "the source")
	switch {
	case e != nil:
	case clean == ".":
		e = explain.Errorf("%q is the source itself", explain.Clip(p)).WithHint(`name a directory or a file in it, such as "out/image"`)
	case strings.ContainsAny(clean, `*?[\!`):
		e = explain.Errorf("%q must not contain *, ?, [, \\ or !", explain.Clip(p))
	case strings.ContainsAny(clean, "\r\n"): // as in inputs=, whose exceptions it is one of
		e = explain.Errorf("%q must not contain line breaks", explain.Clip(p))
	}
	c.wrong("output", e)
	return clean
}

// inputPattern checks and cleans a pattern in the syntax of .dockerignore.
func inputPattern(text string) (string, *explain.Error) {
	text, isException := strings.CutPrefix(text, "!")
	const example = `write, for example, "src/**"`
	pattern, p := below(text, "the source")
	switch _, err := path.Match(pattern, ""); {
	case text == "":
		return "", explain.Errorf("is empty").WithHint(example)
	case p != nil:
		return "", p
	case err != nil || strings.ContainsAny(pattern, "\n\r") || strings.TrimSpace(pattern) != pattern || strings.HasPrefix(pattern, "!"):
		return "", explain.Errorf("%q is not a valid pattern", explain.Clip(text)).WithHint(example)
	case pattern == ".":
		pattern = "**"
	}
	if isException {
		return "!" + pattern, nil
	}
	return pattern, nil
}
