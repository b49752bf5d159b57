package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Limits of a scan. The files of an image may be anything, and what reads them is not all written for that, so the
// process ends when it reaches one.
const (
	timeLimit   = 5 * time.Minute
	memoryLimit = 1 << 30 // bytes

	maxFiles    = 4_000_000 // files and directories of an image
	maxDatabase = 1 << 30   // bytes of a database of packages
	maxPackages = 100_000   // pipe reads SBOMs of up to 64 MiB
	maxField    = 4 << 10   // bytes of a name, a version or a license
)

// addressSpace ends a process that allocates more than memoryLimit in one step, in bytes.
const addressSpace = 8 << 30

// guard calls exit when the process has run for too long or uses too much memory, until stop is called.
func guard(stderr io.Writer, longest time.Duration, memory uint64, exit func(int)) (stop func()) {
	debug.SetMemoryLimit(int64(memory) * 3 / 4)
	over := func(why string) {
		fmt.Fprintf(stderr, "error: the scan was ended: %s\n", why)
		exit(1)
	}
	ended := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(ended)
		late, often := time.NewTimer(longest), time.NewTicker(100*time.Millisecond)
		defer late.Stop()
		defer often.Stop()
		for {
			select {
			case <-done:
				return
			case <-late.C:
				over(fmt.Sprintf("it has not ended within %s", longest))
				return
			case <-often.C:
				if used() > memory {
					over(fmt.Sprintf("it needs more than %d MiB of memory", memory>>20))
					return
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// used is the memory that the process has, in bytes.
func used() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
