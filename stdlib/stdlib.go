// Package stdlib holds the modules that every Pipelinefile can load as
// "@std//name.star".
package stdlib

import "embed"

// FS has the modules, and their tests, at its top.
//
//go:embed *.star
var FS embed.FS
