package why

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// Write writes e for people.
func Write(w io.Writer, e *Explanation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s of %s in environment %s, declared at %s\n", e.Service, e.Type, e.Pipeline, e.Environment, e.Pos)
	section(&b, "stage", fmt.Sprintf("%s, %d of %d%s", e.Stage.Name, e.Stage.Number, e.Stage.Of, at(e.Stage.Pos)), e.Stage.Description, e.Stage.Placed.Why(e.Type)+at(e.Stage.Placed.Pos))
	if e.Skipped != nil {
		section(&b, "skipped", said(*e.Skipped))
	}
	var lines []string
	if len(e.Manifests) > 0 {
		for _, m := range e.Manifests {
			lines = append(lines, m.String())
		}
		section(&b, "manifests", lines...)
		section(&b, "images", e.OthersImages)
		lines = nil
	} else {
		if e.OthersImages != "" {
			section(&b, "images", e.OthersImages)
		} else {
			section(&b, "image", image(e.Image)...)
		}
		for _, im := range e.Images {
			section(&b, "image "+im.Name, image(im.Image)...)
		}
		section(&b, "chart", chart(e.Chart)...)
	}
	for _, s := range e.Secrets {
		lines = append(lines, secret(s.SecretRef)+", in "+s.In)
	}
	section(&b, "secrets", lines...)
	lines = nil
	for _, p := range e.Params {
		value := fmt.Sprintf("%s = %q", p.Name, p.Value)
		if p.Default {
			value += ", the default"
		}
		lines = append(lines, fmt.Sprintf("%s%s: %s", value, at(p.Pos), strings.Join(p.Fields, ", ")))
	}
	for _, name := range e.Unknown {
		lines = append(lines, name+": unknown, because no other value that was tried evaluates")
	}
	section(&b, "parameters", lines...)
	_, err := io.WriteString(w, b.String())
	return err
}

// section writes lines under a title, without empty ones.
func section(b *strings.Builder, title string, lines ...string) {
	lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" })
	if len(lines) == 0 {
		lines = []string{"none"}
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, l := range lines {
		fmt.Fprintf(b, "  %s\n", l)
	}
}

func at(pos plan.Pos) string {
	if pos.IsZero() {
		return ""
	}
	return fmt.Sprintf("  (%s)", pos)
}

func said(r plan.Reason) string {
	if r.Text == "" {
		return "the plan says so" + at(r.Pos)
	}
	return r.Text + at(r.Pos)
}

func image(im *Image) []string {
	if im == nil {
		return []string{"those of its chart"}
	}
	var lines []string
	switch b := im.Build; {
	case b != nil:
		folder, dockerfile := source(b)
		lines = append(lines, "built from "+folder+at(b.Pos))
		lines = append(lines, madeBy(b, dockerfile)...)
		if b.Target != "" {
			lines = append(lines, "target "+b.Target)
		}
		for _, name := range slices.Sorted(maps.Keys(b.Args)) {
			lines = append(lines, fmt.Sprintf("argument %s = %q", name, b.Args[name]))
		}
		for _, name := range slices.Sorted(maps.Keys(b.ImageArgs)) {
			of := cmp.Or(b.ImageParam(name), b.ImageArg(name))
			lines = append(lines, fmt.Sprintf("%s = %s, made before", of, baseOf(b.ImageArgs[name])))
		}
		if len(b.Platforms) > 0 {
			lines = append(lines, "for "+strings.Join(b.Platforms, ", "))
		}
	case im.Mirror != "":
		lines = append(lines, im.Mirror+", copied into the registry")
	default:
		lines = append(lines, im.Ref+", not mirrored")
	}
	if len(im.Shared) > 0 {
		lines = append(lines, "shared with "+strings.Join(im.Shared, ", "))
	}
	return lines
}

// madeBy says what makes the image of a build.
func madeBy(b *plan.BuildSpec, dockerfile string) []string {
	c := b.Command
	switch {
	case b.Go != nil:
		lines := []string{"Go package " + path.Join(b.Source.Path, b.Go.Package) + ", which the go command compiles on the machine of pipe run"}
		if len(b.Go.Flags) > 0 {
			lines = append(lines, "flags "+quoted(b.Go.Flags))
		}
		return append(lines, variables(b.Go.Env)...)
	case b.Buildpack != nil:
		on := "the run image that the builder names"
		if run, ok := b.ImageArgs[plan.BuildpackRun]; ok {
			on = baseOf(run)
		}
		return append([]string{"buildpacks of " + baseOf(b.ImageArgs[plan.BuildpackBuilder]) + ", on " + on}, variables(b.Buildpack.Env)...)
	case c == nil:
		return []string{"Dockerfile " + dockerfile}
	}
	lines := []string{"command " + quoted(c.Args) + ", which pipe run runs on its machine"}
	if len(c.Inputs) > 0 {
		lines = append(lines, "of the files "+strings.Join(c.Inputs, ", "))
	}
	if c.Output != "" {
		lines = append(lines, "written to "+c.Output)
	}
	return append(lines, variables(c.Env)...)
}

// quoted returns a list of strings.
func quoted(all []string) string {
	words := make([]string, len(all))
	for i, word := range all {
		words[i] = strconv.Quote(word)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// variables returns the variables of a program.
func variables(env map[string]string) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		lines = append(lines, fmt.Sprintf("variable %s = %q", name, env[name]))
	}
	return lines
}

// baseOf names an image that is an argument of a build.
func baseOf(from plan.ImageSource) string {
	if from.Build != "" {
		return "the image of " + from.Build
	}
	return from.Mirror + from.Ref
}

func chart(c *plan.Chart) []string {
	if c == nil {
		return []string{"generated"}
	}
	line := c.Ref
	if c.Version != "" {
		line += " " + c.Version
	}
	if from := c.Source(); from != "" {
		line += " of " + from
	}
	lines := []string{line + at(c.Pos)}
	for _, f := range c.ValuesFiles {
		lines = append(lines, "values of "+f)
	}
	return lines
}

// secret describes a secret, never its value.
func secret(r plan.SecretRef) string {
	switch {
	case r.Service != "":
		return fmt.Sprintf("the %s of the database %s", r.Key, r.Service)
	case r.Key != "":
		return fmt.Sprintf("%s, key %s", r.Name, r.Key)
	}
	return r.Name
}
