package interp

import (
	"fmt"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/plan"
)

// Bounds of what an evaluation prints (L5). Nobody reads more of it, and a file can
// print in each turn of a loop.
const (
	maxPrints       = 1000
	maxPrintedBytes = 1 << 20
)

// printSteps is what a print() takes, besides its text.
const printSteps = 500

// printed counts what an evaluation has printed.
type printed struct {
	calls, bytes int      // that were passed on
	left         int      // calls that were not
	from         plan.Pos // of the first of them
}

func (e *evaluation) print(th *starlark.Thread, msg string) {
	_ = e.session.Meter.Charge(printSteps) // the next step ends evaluation
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

// printedMore says how many calls of print() were not passed on.
func (e *evaluation) printedMore() {
	if n := e.printed.left; n > 0 {
		e.opts.Print(e.printed.from, fmt.Sprintf("%d more calls of print() are left out: an evaluation shows %d, and 1 MiB of text", n, maxPrints))
	}
}
