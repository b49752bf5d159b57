//go:build !linux

package main

// pipe runs the command in a separate process.
func pipe() { main() }
