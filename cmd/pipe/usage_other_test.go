//go:build !linux

package main

// pipe is the command, in a process of its own.
func pipe() { main() }
