package main

import (
	"log"
	"strings"
	"testing"
	"time"

	"k8s.io/klog/v2"
)

// TestLibrariesLog: log lines of libraries are shown in the view, each once, and those of
// client-go are not shown, since they are also returned as errors.
func TestLibrariesLog(t *testing.T) {
	out, flags := log.Writer(), log.Flags()
	t.Cleanup(func() {
		log.SetOutput(out)
		log.SetFlags(flags)
		klog.ClearLogger()
	})
	var stderr safeBuffer
	a := &app{stderr: &stderr, now: time.Now}
	divert(a.noteOnce())
	for range 2 {
		log.Print("warning: cannot overwrite table with non table for api.resources")
	}
	klog.Error("the watch ended")
	checkText(t, "stderr", stderr.String(), "warning: cannot overwrite table with non table for api.resources\n")
}

func TestDaemonsLog(t *testing.T) {
	for path, want := range map[string]bool{"daemon buildkit": true, "daemon registry": true, "run": false, "plan": false} {
		root := (&app{}).root()
		cmd, _, err := root.Find(strings.Fields(path))
		if err != nil {
			t.Fatal(err)
		}
		if got := isDaemon(cmd); got != want {
			t.Errorf("isDaemon(%s) = %v, want %v", path, got, want)
		}
	}
}
