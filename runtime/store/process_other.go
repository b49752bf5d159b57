//go:build !linux

package store

// annotationProcess identifies the process that holds a lease; see process_linux.go.
const annotationProcess = "pipelinefile.github.io/process"

func thisProcess() string { return "" }

func diedHere(string) bool { return false }
