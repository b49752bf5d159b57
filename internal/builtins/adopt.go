package builtins

// existing says what a service does with what exists.
type existing struct {
	Adopt bool `arg:"adopt,kw" default:"False" help:"take over the Helm release and the objects that exist under its names, whoever made them; pipe plan and pipe diff show what changes"`
}
