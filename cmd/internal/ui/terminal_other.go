//go:build !linux && !darwin

package ui

import "os"

// Foreground reports whether the process may read from a terminal. Without job control it
// always may.
func Foreground(*os.File) bool { return true }

// keyByKey makes a terminal deliver each key as it is pressed. On this system, the reader
// does that itself.
func keyByKey(*os.File) (restore func(), err error) { return func() {}, nil }

// jobs are the signals of job control, which this system does not have.
type jobs struct{ stop, continued chan os.Signal }

func newJobs() *jobs     { return &jobs{} }
func (j *jobs) close()   {}
func (j *jobs) suspend() {}
