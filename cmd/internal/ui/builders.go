package ui

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/pipelinefile/pipe/runtime/deploy/buildkit"
)

// WriteBuilders writes a table of builders, and how runs use them.
func WriteBuilders(w io.Writer, s *buildkit.Status, now time.Time) error {
	ready := 0
	err := table(w, func(row func(...string)) {
		row("BUILDER", "STATE", "NODE", "RESTARTS", "AGE")
		for _, p := range s.Builders {
			if p.Ready {
				ready++
			}
			row(p.Name, clip(clean(p.State)), clean(p.Node), strconv.Itoa(p.Restarts), age(now.Sub(p.Created)))
		}
	})
	if err != nil {
		return err
	}
	kind := ""
	if s.Options.Rootless {
		kind = ", rootless"
	}
	if _, err := fmt.Fprintf(w, "\n%d of %d builders in namespace %s are ready, with a cache of %s each, and %s CPUs and %s of memory for a command of a build%s\n",
		ready, s.Options.Replicas, s.Namespace, s.Options.Storage, s.Options.CPU, s.Options.Memory, kind); err != nil {
		return err
	}
	if s.Renew {
		if _, err := fmt.Fprintf(w, "their certificates expire on %s: renew them with pipe builders up\n", s.Expires.Format(time.DateOnly)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "build there with: --buildkit kube://%s\n", s.Namespace)
	return err
}
