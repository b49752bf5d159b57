//go:build !linux && !darwin

package ui

import "os"

// Foreground reports whether the process may read from a terminal: without job
// control it always may.
func Foreground(*os.File) bool { return true }

// keyByKey has a terminal hand on each key as it is pressed: whoever reads from it
// does that here.
func keyByKey(*os.File) (restore func(), err error) { return func() {}, nil }

// jobs are the signals of job control, which there is none of here.
type jobs struct{ stop, continued chan os.Signal }

func newJobs() *jobs     { return &jobs{} }
func (j *jobs) close()   {}
func (j *jobs) suspend() {}
