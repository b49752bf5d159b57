// Package builtins declares functions for Pipelinefiles.
//
// A function is one struct and one Go function. The struct receives the arguments and is
// the signature: the argument check, its messages and the language server's help are
// derived from it (G1, L8). Pass the functions of a host program in
// interp.Options.Builtins. The standard functions, described in reference.md next to this
// file, are always available, and are declared in the same way.
package builtins

import "github.com/pipelinefile/pipe/internal/misspell"

// Nearest returns the candidate that name is most likely a misspelling of, or "". If
// several are equally near, the first one is returned, so pass candidates in a stable
// order.
func Nearest(name string, candidates []string) string { return misspell.Nearest(name, candidates) }
