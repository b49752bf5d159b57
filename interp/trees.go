package interp

import "github.com/pipelinefile/pipe/internal/builtins"

// Trees cache the digests of directories, such as charts, for a program that evaluates
// one workspace repeatedly and knows what changes in it: see [Options]. The method
// Changed drops the directories at or above some paths, or all. The zero value is ready
// to use. Trees are safe for concurrent use.
type Trees = builtins.Trees
