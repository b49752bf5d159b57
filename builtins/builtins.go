// Package builtins declares functions for Pipelinefiles.
//
// A function is one struct and one Go function: the struct that receives the
// arguments is the signature, from which the argument check, its messages and
// the language server's help are made (G1, L8). Give the functions of a host program to
// interp.Options.Builtins; the standard ones, described in reference.md next to
// this file, are always there, and are made in the same way.
package builtins

import "github.com/pipelinefile/pipe/internal/misspell"

// Nearest returns the candidate that name is most likely a misspelling of, or
// "". Of equally near ones the first wins, so that candidates are given in an
// order that does not change.
func Nearest(name string, candidates []string) string { return misspell.Nearest(name, candidates) }
