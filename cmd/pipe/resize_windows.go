package main

import "os"

// resizes tells nothing: a console does not send signals.
func resizes() <-chan os.Signal { return nil }
