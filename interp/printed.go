package interp

import (
	"fmt"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/plan"
)

// Limits of the output of an evaluation (L5). A file can print in every iteration of a
// loop, and no reader needs more.
const (
	maxPrints       = 1000
	maxPrintedBytes = 1 << 20
)

// printSteps is the cost of a print() call, in addition to its text.
const printSteps = 500

// printed counts what an evaluation has printed.
type printed struct {
	calls, bytes int      // passed on
	left         int      // calls that were left out
	from         plan.Pos // of the first of them
}

func (e *evaluation) print(th *starlark.Thread, msg string) {
	_ = e.session.Meter.Charge(printSteps) // if this fails, the next step ends the evaluation
	if e.opts.Print == nil {
		return
	}
	var pos plan.Pos
	if th.CallStackDepth() > 1 {
		p := th.CallFrame(1).Pos
		if src := e.session.Source(p.Filename()); src != nil {
			pos = src.Pos(p)
		}
	}
	p := &e.printed
	if room := maxPrintedBytes - p.bytes; p.calls == maxPrints || p.left > 0 || room <= 0 {
		if p.left == 0 {
			p.from = pos
		}
		p.left++
		return
	} else if len(msg) > room {
		for !utf8.RuneStart(msg[room]) {
			room--
		}
		msg = fmt.Sprintf("%s… and %d more bytes", msg[:room], len(msg)-room)
	}
	p.calls, p.bytes = p.calls+1, p.bytes+len(msg)
	e.opts.Print(pos, msg)
}

// printedMore prints how many calls of print() were left out.
func (e *evaluation) printedMore() {
	if n := e.printed.left; n > 0 {
		e.opts.Print(e.printed.from, fmt.Sprintf("%d more calls of print() are left out: an evaluation shows %d, and 1 MiB of text", n, maxPrints))
	}
}
