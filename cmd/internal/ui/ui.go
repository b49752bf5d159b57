// Package ui shows the events of a run: as a live view on a terminal, as plain lines, as
// JSON lines, or not at all.
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
	Auto  Mode = "auto"  // TTY on a terminal, otherwise Plain; New treats it as Plain
	TTY   Mode = "tty"   // a live view
	Plain Mode = "plain" // a line for each change, and never silent for 20 seconds
	JSON  Mode = "json"  // one event per line
	Quiet Mode = "quiet" // nothing
)

// Modes are all modes, in the order of the help.
var Modes = []Mode{Auto, TTY, Plain, JSON, Quiet}

// A View shows a run. Its methods may be called concurrently, and return without waiting
// for a terminal.
type View interface {
	// Event shows an event. Events must come in order.
	Event(runtime.Event)
	// Note shows a line of the command itself, such as the reply to an interrupt.
	Note(text string)
	// Doing says what the command does while no run is in progress. It is shown if that
	// takes longer than a moment; empty means nothing.
	Doing(what string)
	// Close shows the rest and releases the stream.
	Close()
}

// Options configure a View.
type Options struct {
	Mode    Mode
	Out     io.Writer        // the stream for progress: standard error; output that is not pipe's own is made harmless, see Safe
	Color   bool             // of the live view, and of errors in watch mode
	Watch   bool             // the events are those of watch mode: its live view uses the whole screen
	Keys    Keys             // of the live view of watch mode
	Environ []string         // TERM and the like; used by the live view
	Now     func() time.Time // default time.Now
	Since   time.Time        // start time for the times of lines; default: the call of New
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

// quiet shows nothing: the command prints errors and results.
type quiet struct{}

func (quiet) Event(runtime.Event) {}
func (quiet) Note(string)         {}
func (quiet) Doing(string)        {}
func (quiet) Close()              {}
