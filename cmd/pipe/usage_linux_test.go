package main

import (
	"encoding/json"
	"os"
	"runtime/debug"
	"time"

	"github.com/pipelinefile/pipe/internal/hostile"
)

// usageFile is the variable with the file to which the command writes its resource usage.
const usageFile = "PIPE_TEST_USAGE"

// A usage is the resource usage of a command, as [hostile.Used] reports it.
type usage struct {
	Time   time.Duration
	Memory int64
}

// pipe runs the command in a separate process.
func pipe() {
	file := os.Getenv(usageFile)
	if file == "" {
		main()
		return
	}
	// Garbage collection depends on the load, so memory gets this much slack.
	debug.SetMemoryLimit(hostile.MostMemory * 3 / 4)
	status := process().main()
	took, memory, err := hostile.Used()
	if err != nil {
		panic(err)
	}
	data, err := json.Marshal(usage{took, memory})
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		panic(err)
	}
	os.Exit(status)
}
