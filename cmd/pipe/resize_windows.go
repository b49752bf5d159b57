package main

import "os"

// resizes never signals: a console does not send signals.
func resizes() <-chan os.Signal { return nil }
