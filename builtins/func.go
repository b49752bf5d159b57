// Package builtins defines the functions and values that a Pipelinefile sees.
package builtins

// A Func is a builtin function.
type Func struct {
	Name string
	Doc  string // Markdown; the first sentence is the summary
}
