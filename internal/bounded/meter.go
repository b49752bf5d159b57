package bounded

import (
	"context"
	"errors"
	"fmt"
	"math"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// ErrSteps is the error of an operation that takes more steps than are left (L4).
var ErrSteps = errors.New("evaluation takes too many steps")

// MaxDepth is the maximum nesting depth of values that are traversed completely: Go
// cannot recover from an exhausted stack.
const MaxDepth = 1000

// A Meter counts the steps of one evaluation (L4). Each method charges for one kind of
// operation before it is done, and returns an error if the operation must not be done.
//
// A nil Meter allows everything.
type Meter struct {
	ctx    context.Context //nolint:containedctx // lives as long as one evaluation
	thread *starlark.Thread
	most   uint64 // steps
	size   int    // of one value, in bytes
	asked  uint64 // the step at which the context was checked last
	visits uint64 // number of values visited in other values
	mixed  uint64 // the steps of comparing an integer with a floating-point number

	flat  flat                           // of the value that is being checked
	entry func(k, v starlark.Value) bool // adds to flat
}

// NewMeter returns the meter of an evaluation that runs in th and takes at most that many
// steps. No string or list may be larger than size bytes.
func NewMeter(ctx context.Context, th *starlark.Thread, steps uint64, size int) *Meter {
	m := &Meter{ctx: ctx, thread: th, most: steps, size: size}
	m.entry = func(k, v starlark.Value) bool {
		m.flat.add(k)
		m.flat.add(v)
		return !m.flat.deep
	}
	return m
}

// Charge counts n steps. It returns an error if fewer steps are left, or if the context
// has ended.
func (m *Meter) Charge(n uint64) error {
	if m == nil {
		return nil
	}
	if n >= m.left() {
		m.thread.Steps = m.most
		if m.thread.OnMaxSteps != nil {
			m.thread.OnMaxSteps(m.thread)
		}
		return ErrSteps
	}
	m.thread.Steps += n
	if m.thread.Steps-m.asked > askSteps {
		m.asked = m.thread.Steps
		return m.ctx.Err()
	}
	return nil
}

// askSteps is the number of steps after which the context is checked again: about a tenth
// of a millisecond.
const askSteps = 10_000

// visit returns the context's error now and then, for operations that visit many values
// before they charge for them.
func (m *Meter) visit() error {
	if m == nil {
		return nil
	}
	if m.visits++; m.visits%askSteps != 0 {
		return nil
	}
	return m.ctx.Err()
}

// Left returns the number of steps left; for a nil Meter, more than any operation takes.
func (m *Meter) Left() uint64 {
	if m == nil {
		return 1 << 62
	}
	return m.left()
}

// Context returns the context that ends the evaluation.
func (m *Meter) Context() context.Context {
	if m == nil {
		return context.Background()
	}
	return m.ctx
}

func (m *Meter) left() uint64 {
	if m.thread.Steps >= m.most {
		return 0
	}
	return m.most - m.thread.Steps
}

// Make charges for making a value of n bytes.
func (m *Meter) Make(n int) error {
	if err := m.Fits(n); err != nil {
		return err
	}
	return m.Charge(uint64(n))
}

// Fits returns an error if n bytes exceed the limit for one value.
func (m *Meter) Fits(n int) error {
	if m != nil && (n < 0 || n > m.size) {
		return &Error{
			Msg:  fmt.Sprintf("the value would be larger than the limit of %d bytes", m.size),
			Hint: "is a number or a string larger than intended?",
		}
	}
	return nil
}

// Read charges for reading n bytes.
func (m *Meter) Read(n int) error { return m.Charge(uint64(n) / readBytes) }

// Text charges for converting v to a string, as str, repr and % do.
func (m *Meter) Text(v starlark.Value) error {
	if m == nil {
		return nil
	}
	switch v := v.(type) {
	case starlark.String:
		return m.Make(len(v))
	case starlark.Bool, starlark.NoneType:
		return nil
	case starlark.Int:
		if _, ok := v.Int64(); ok {
			return m.Charge(20)
		}
	}
	n, err := m.TextSize(v)
	if err != nil {
		return err
	}
	return m.Make(n)
}

// TextSize returns an upper bound of the length of repr(v).
func (m *Meter) TextSize(v starlark.Value) (int, error) {
	w := walk{meter: m, most: m.Left(), each: func(v starlark.Value) uint64 {
		switch v := v.(type) {
		case starlark.String:
			return m.QuotedSize(string(v))
		case starlark.Bytes:
			return m.QuotedSize(string(v))
		case starlark.Int:
			return digits(v)
		case starlark.Float:
			return 330 // %f of the largest
		case starlark.Callable:
			return 80 // with a name
		}
		return 40
	}}
	err := w.value(v, 0)
	return int(min(w.sum, 1<<62)), err
}

// QuotedSize returns an upper bound of the length of s in quotes, as Starlark and JSON
// write it. It returns less if the context ends before the length is known.
func (m *Meter) QuotedSize(s string) uint64 {
	n := uint64(len(s)) + 2
	for len(s) > quotedAtOnce && (m == nil || m.ctx.Err() == nil) {
		n += escapes(s[:quotedAtOnce])
		s = s[quotedAtOnce:]
	}
	return n + escapes(s[:min(len(s), quotedAtOnce)])
}

// quotedAtOnce is the number of bytes that are scanned between checks of the context.
const quotedAtOnce = 1 << 20

// escapes returns the number of bytes that escaping adds to s, not counting the quotes.
func escapes(s string) (n uint64) {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			n++
		case c < ' ' || c > '~', c == '<', c == '>', c == '&':
			n += 5
		}
	}
	return n
}

// digits returns the approximate cost of the digits of a number.
func digits(i starlark.Int) uint64 {
	if _, ok := i.Int64(); ok {
		return 20
	}
	words := uint64(len(i.BigInt().Bits()))
	return words * 20 * (1 + words/64) // writing a large one takes longer
}

// Hash charges for hashing a key.
func (m *Meter) Hash(v starlark.Value) error {
	switch v := v.(type) {
	case starlark.String:
		if len(v) < 256 {
			return nil
		}
		return m.Read(len(v))
	case starlark.Tuple, *starlarkstruct.Struct:
		if m == nil {
			return nil
		}
		n, err := m.hashSteps(v, 0, m.left())
		if err != nil {
			return err
		}
		return m.Charge(n)
	case starlark.Float:
		if m == nil {
			return nil
		}
		m.seen(v)
		return m.Charge(floatSteps(v))
	case starlark.Bytes:
		return m.Read(len(v))
	}
	return nil
}

// floatSteps is the cost of hashing a floating-point number, which is converted to an
// integer for that.
func floatSteps(f starlark.Float) uint64 {
	_, e := math.Frexp(float64(f))
	return 4 + uint64(max(e, 0))/2
}

func (m *Meter) hashSteps(v starlark.Value, depth int, most uint64) (n uint64, err error) {
	if depth > MaxDepth {
		return 0, fmt.Errorf("the value is nested deeper than %d", MaxDepth)
	}
	if err := m.visit(); err != nil {
		return 0, err
	}
	add := func(e starlark.Value) bool {
		if n > most {
			err = ErrSteps
		}
		if err == nil {
			var more uint64
			more, err = m.hashSteps(e, depth+1, most-n)
			n += more
		}
		return err == nil
	}
	n = 2
	switch v := v.(type) {
	case starlark.String:
		n += uint64(len(v)) / readBytes
	case starlark.Bytes:
		n += uint64(len(v)) / hashedBytes
	case starlark.Float:
		m.seen(v)
		n += floatSteps(v)
	case starlark.Tuple:
		for _, e := range v {
			if !add(e) {
				break
			}
		}
	case *starlarkstruct.Struct:
		for name, e := range v.Entries() {
			n += 2 + uint64(len(name))/readBytes
			if !add(e) {
				break
			}
		}
	}
	return n, err
}
