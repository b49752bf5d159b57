package plan

import "path"

// A BuildCommand is a program of the machine that pipe runs on, which writes an image: an
// OCI image layout, or an archive of one or of docker. It runs in the directory of the source.
type BuildCommand struct {
	Args   []string          `json:"args"`             // the program and its arguments; never empty
	Env    map[string]string `json:"env,omitempty"`    // its environment, besides what pipe sets
	Inputs []string          `json:"inputs,omitempty"` // patterns of the files of the source that the image depends on, in the syntax of .dockerignore; none: all that .dockerignore does not exclude
	Output string            `json:"output,omitempty"` // where it writes the image, below the source; empty: where the variable [OutputVariable] says
	Image  string            `json:"image,omitempty"`  // the name of the image, if it writes several; empty: it writes only one
}

// The variables that pipe sets for the command of a build. In its arguments, $(NAME) is
// replaced by the value.
const (
	OutputVariable    = "PIPE_OUTPUT"    // the path at which to write the image, in a temporary directory
	PlatformsVariable = "PIPE_PLATFORMS" // the platforms of the image, separated by commas
)

// A GoBuild is a Go program that the go command of the machine compiles. The image is that of
// ImageArgs by the name [GoBase], or an empty one, with the program.
type GoBuild struct {
	Package string            `json:"package"`         // the directory of its main package, relative to the source
	Flags   []string          `json:"flags,omitempty"` // more flags of go build
	Env     map[string]string `json:"env,omitempty"`   // the environment of the go command, besides what pipe sets
}

// GoBase is the name of the base image of a GoBuild in ImageArgs.
const GoBase = "BASE"

// Program returns the path of the program in the image.
func (g *GoBuild) Program() string {
	name := path.Base(g.Package)
	if name == "." || name == "/" {
		name = "main"
	}
	return "/app/" + name
}

// A Buildpack is a builder image of Cloud Native Buildpacks, which makes an image of the source inside
// BuildKit. The image is that of ImageArgs by the name [BuildpackRun] or, if there is none, the one that the
// builder image names, with what the buildpacks of the builder image, that by the name [BuildpackBuilder],
// add.
type Buildpack struct {
	Env map[string]string `json:"env,omitempty"` // variables for the buildpacks
}

// The names of the images of a Buildpack in ImageArgs.
const (
	BuildpackBuilder = "BUILDER" // has the buildpacks and the lifecycle that runs them
	BuildpackRun     = "RUN"     // the base of the image that is made
)

// ImageParam returns the parameter of go_image() or buildpack() that gives the image of ImageArgs with a name: "base",
// "builder" or "run_image". It is empty for an argument of a Dockerfile.
func (b *BuildSpec) ImageParam(name string) string {
	switch {
	case b.Go != nil && name == GoBase:
		return "base"
	case b.Buildpack != nil && name == BuildpackBuilder:
		return "builder"
	case b.Buildpack != nil && name == BuildpackRun:
		return "run_image"
	}
	return ""
}

// ImageArg returns how messages name an image of ImageArgs: "base=" for example, as in the Pipelinefile, or "argument
// NAME" for an argument of a Dockerfile.
func (b *BuildSpec) ImageArg(name string) string {
	if param := b.ImageParam(name); param != "" {
		return param + "="
	}
	return "argument " + name
}

// UsesBuildKit reports whether a builder makes the image, and not a program of the machine that pipe
// runs on.
func (b *BuildSpec) UsesBuildKit() bool { return b.Command == nil && b.Go == nil }

// HasDockerfile reports whether the image is built from a Dockerfile.
func (b *BuildSpec) HasDockerfile() bool { return b.UsesBuildKit() && b.Buildpack == nil }
