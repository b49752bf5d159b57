// Package ui shows the events of a run: as a live view of a terminal, as plain
// lines, as JSON lines, or not at all.
package ui

import (
	"io"
	"time"

	"github.com/pipelinefile/pipe/runtime"
)

// A Mode is a way to show progress (C1, C3).
type Mode string

// The modes.
const (
	Auto  Mode = "auto"  // TTY on a terminal, else Plain; New takes it for Plain
	TTY   Mode = "tty"   // a view that redraws itself
	Plain Mode = "plain" // a line for each change, and never 20 silent seconds
	JSON  Mode = "json"  // an event a line
	Quiet Mode = "quiet" // nothing
)

// Modes are all modes, in the order in which help lists them.
var Modes = []Mode{Auto, TTY, Plain, JSON, Quiet}

// A View shows a run. Its methods may be called from any goroutine, and return
// without waiting for a terminal.
type View interface {
	// Event shows what happened. Events come in order.
	Event(runtime.Event)
	// Note shows a line of the command itself, such as the answer to an interrupt.
	Note(text string)
	// Doing says what the command does now while no run is going on. It is
	// shown when that takes longer than a moment; empty means nothing.
	Doing(what string)
	// Close shows the rest and leaves the stream to others.
	Close()
}

// Options adjust a View.
type Options struct {
	Mode    Mode
	Out     io.Writer        // where progress goes: standard error; what is not pipe's own is made harmless, see Safe
	Color   bool             // of the live view, and of errors in watch mode
	Watch   bool             // what is shown is watch mode: its live view has the whole screen
	Keys    Keys             // of the live view of watch mode
	Environ []string         // TERM and the like; used by the live view
	Now     func() time.Time // default time.Now
	Since   time.Time        // from which the times of lines are counted; default: the call of New
}

// New returns the view of opts.Mode.
func New(opts Options) View {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	switch opts.Mode {
	case TTY:
		if opts.Watch {
			return newBoard(opts)
		}
		return newTTY(opts)
	case JSON:
		return newJSON(opts)
	case Quiet:
		return quiet{}
	default:
		return newPlain(opts)
	}
}

// quiet shows nothing: errors and results are the command's.
type quiet struct{}

func (quiet) Event(runtime.Event) {}
func (quiet) Note(string)         {}
func (quiet) Doing(string)        {}
func (quiet) Close()              {}
