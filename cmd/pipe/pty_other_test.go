//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// scriptDialogue is for scripts that run only on Linux.
func scriptDialogue(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("there are no dialogues on this system")
}
