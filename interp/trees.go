package interp

import "github.com/pipelinefile/pipe/internal/builtins"

// Trees keep what evaluations have read of directories, such as charts, for a
// program that evaluates one workspace again and again and knows what changes in
// it: see [Options]. Its method Changed forgets the directories at or above some
// paths, or all. The zero value is ready. Trees are safe for concurrent use.
type Trees = builtins.Trees
