//go:build !windows

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// resizes signals changes of the terminal's size.
func resizes() <-chan os.Signal {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	return resized
}
