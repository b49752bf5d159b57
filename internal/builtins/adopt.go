package builtins

// existing says what a service does with what exists.
type existing struct {
	Adopt bool `arg:"adopt,kw" default:"False" help:"adopt the existing Helm release and objects of the same names, whichever tool created them; pipe plan and pipe diff show the changes"`
}
