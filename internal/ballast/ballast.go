// Package ballast keeps short processes from collecting garbage: a program imports it for its effect.
//
// Go collects for the first time at 4 MB, and then whenever the heap has doubled. A command of pipe has
// allocated 10 MB before main begins, most of it for the types of Kubernetes, and ends soon. Three
// collections took a quarter of its processor time, mainly to scan the variables of so many packages.
//
// The ballast counts as heap, so the next collection is at 64 MB. It is never written to, and so takes
// address space, but no memory. A process with a large heap takes up to 32 MB more than without it.
//
// This package imports nothing, so it is initialized before the packages that allocate.
package ballast

var ballast = make([]byte, 32<<20) //nolint:unused // it is only there, and a variable so that it is not freed
