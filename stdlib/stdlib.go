// Package stdlib holds the modules that every Pipelinefile can load as
// "@std//name.star".
package stdlib

import "embed"

// FS holds the modules at its root.
//
//go:embed databases.star jobs.star rollout.star testing.star web.star
var FS embed.FS
