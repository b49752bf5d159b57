package plan

// A BuildCommand is a program of the machine that pipe runs on, which writes an image: an
// OCI image layout, or an archive of one or of docker. It runs in the directory of the source.
type BuildCommand struct {
	Args   []string          `json:"args"`             // the program and its arguments; never empty
	Env    map[string]string `json:"env,omitempty"`    // its environment, besides what pipe sets
	Inputs []string          `json:"inputs,omitempty"` // patterns of the files of the source that the image depends on, in the syntax of .dockerignore; none: all that .dockerignore does not exclude
	Output string            `json:"output,omitempty"` // where it writes the image, below the source; empty: where the variable [OutputVariable] says
}

// The variables that pipe sets for the command of a build. In its arguments, $(NAME) is
// replaced by the value.
const (
	OutputVariable    = "PIPE_OUTPUT"    // the path at which to write the image, in a temporary directory
	PlatformsVariable = "PIPE_PLATFORMS" // the platforms of the image, separated by commas
)

// UsesBuildKit reports whether a builder makes the image from a Dockerfile, and not a program of the
// machine that pipe runs on.
func (b *BuildSpec) UsesBuildKit() bool { return b.Command == nil }
