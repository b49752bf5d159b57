// Package role has the roles of the processes of a cluster; a word on the command line selects one.
//
// A role reports its progress to its supervisor on its standard output, line by line:
//
//	doing TEXT    what it is waiting for
//	ready         it is usable
//
// All other output goes to its standard error, which is its log. It ends when its standard input is
// closed, as its supervisor has ended then.
package role

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/control"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// report sends reports to the supervisor.
type report struct {
	mu  sync.Mutex
	out *os.File
}

func (r *report) doing(text string) { r.line("doing " + strings.ReplaceAll(text, "\n", " ")) }
func (r *report) ready()            { r.line("ready") }

func (r *report) line(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintln(r.out, text)
}

// process is the function of a role. It runs until the context ends.
type process func(ctx context.Context, d home.Dir, c home.Config, r *report) error

// Run runs the role until the context ends.
func Run(ctx context.Context, name string, d home.Dir) error {
	all := roles()
	run, ok := all[name]
	if !ok {
		var names []string
		for n := range all {
			names = append(names, n)
		}
		slices.Sort(names)
		return fmt.Errorf("no role %q: there are %s", name, strings.Join(names, ", "))
	}
	c, ok, err := d.ReadConfig()
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s holds no cluster", d)
	}
	// Libraries also print to the standard output, which is only for reports.
	r := &report{out: os.Stdout}
	os.Stdout = os.Stderr
	control.SetVersion()
	ctx, end := context.WithCancel(ctx)
	defer end()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		end()
	}()
	return run(ctx, d, c, r)
}
