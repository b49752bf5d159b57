package bounded

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// The interpreter has no hook for operators. So the syntax tree is rewritten before it is
// compiled (see rewrite.go): an operation whose operands must be checked goes through a
// guard, a value whose name no program can write. A guard is indexed instead of called,
// because that takes a third of the time and adds no frame to the call stack:
//
//	x + y        %+[x][y]
//	x[i]         %get[x][i]
//	x.join(y)    %().join[x](y)
//	x[i] += y    %+=[x][i] += y
//	{k: v for …} %close[[0 for … if %put[k][v]]]
//
// A guard has the position of the expression that it replaces, so that positions and
// stacks stay correct.
const (
	guardGet   = "%get"   // x of x[i]
	guardAt    = "%at"    // x of x["name"]
	guardKey   = "%key"   // of a literal dict
	guardOpen  = "%open"  // before the first entry of a dict that is built entry by entry
	guardPut   = "%put"   // the key of an entry of such a dict
	guardUniq  = "%uniq"  // the same, if the key must be new
	guardClose = "%close" // after the last entry
	guardStep  = "%step"  // x of x[i:j:k]
	guardTaken = "%taken" // of x[i:j:k]
	guardMake  = "%make"  // of a literal, a lambda and a slice: charges for the new value
	guardEach  = "%each"  // of the iterable of a list comprehension
	guardCall  = "%call"  // at the start of a function: checks the depth of calls
	guardArgs  = "%args"  // of f(*args)
	guardNamed = "%named" // of f(**kwargs)
	guardMany  = "%many"  // at the start of a function with many parameters
	guardSet   = "%set"   // x in x[i] = y
)

var binaryOps = []syntax.Token{
	syntax.PLUS, syntax.MINUS, syntax.STAR, syntax.SLASH, syntax.SLASHSLASH, syntax.PERCENT, syntax.AMP, syntax.PIPE,
	syntax.CIRCUMFLEX, syntax.LTLT, syntax.GTGT, syntax.EQL, syntax.NEQ, syntax.LT, syntax.LE, syntax.GT, syntax.GE,
	syntax.IN, syntax.NOT_IN,
}

func guardOp(op syntax.Token) string    { return "%" + op.String() }
func guardUnary(op syntax.Token) string { return "%u" + op.String() }
func guardInto(op syntax.Token) string  { return "%into" + op.String() } // x in x += y, for a name
func guardAug(op syntax.Token) string   { return "%aug" + op.String() }  // x in x[i] += y
func guardAttr(name string) string      { return "%." + name }
func guardMethod(name string) string    { return "%()." + name } // x.name, where it is called immediately

// MaxMessage is the maximum length in bytes of a message of the interpreter that contains
// no value.
const MaxMessage = 10_000

// A guard is a value that can be indexed with any value.
type guard struct {
	hidden
	name string
	get  func(v starlark.Value) (starlark.Value, error)
}

// Get checks v.
func (gd *guard) Get(v starlark.Value) (starlark.Value, bool, error) {
	out, err := gd.get(v)
	return out, true, err
}

func (gd *guard) String() string { return gd.name }

// hidden implements the methods that all internal values have in common. No program sees
// these values.
type hidden struct{}

func (hidden) String() string        { return "guard" }
func (hidden) Type() string          { return "guard" }
func (hidden) Freeze()               {}
func (hidden) Truth() starlark.Bool  { return true }
func (hidden) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable: guard") }

// Options configure the guards of an evaluation.
type Options struct {
	Meter  *Meter
	Thread *starlark.Thread
	// Loads returns the current nesting depth of loads: their calls do not count as
	// nested.
	Loads func() int
	// Opaque returns an error for a value that op must not convert to a string.
	Opaque func(op string, v starlark.Value) error
}

// Guards is the state that the guarded operations of one evaluation share.
type Guards struct {
	meter   *Meter
	thread  *starlark.Thread
	loads   func() int
	opaque  func(op string, v starlark.Value) error
	free    []*operand // for reuse
	targets []*target
	pending []*pending
	methods []*method        // those that are called once
	making  []*starlark.Dict // dicts being built, the innermost last
}

// NewGuards returns the guards of an evaluation.
func NewGuards(o Options) *Guards {
	return &Guards{meter: o.Meter, thread: o.Thread, loads: o.Loads, opaque: o.Opaque}
}

// Declare adds the guards of [Rewrite] to env, and replaces the functions of Starlark in
// it with metered ones. It must be called after all other names are in env.
func (g *Guards) Declare(env starlark.StringDict) {
	g.universe(env)
	g.operators(env)
}

// IsGuard reports whether name is the name of a guard, which no program can write.
func IsGuard(name string) bool { return strings.HasPrefix(name, "%") }

// Unguarded returns an expression without the guards that [Rewrite] has added around it.
func Unguarded(e syntax.Expr) syntax.Expr {
	for {
		x, ok := e.(*syntax.IndexExpr)
		if !ok {
			return e
		}
		if id, ok := x.X.(*syntax.Ident); !ok || !IsGuard(id.Name) {
			return e
		}
		e = x.Y
	}
}

// operators adds the guards of operators, methods and literals to env.
func (g *Guards) operators(env starlark.StringDict) {
	add := func(name string, get func(v starlark.Value) (starlark.Value, error)) {
		env[predeclared(name)] = &guard{name: name, get: get}
	}
	for _, op := range binaryOps {
		add(guardOp(op), func(x starlark.Value) (starlark.Value, error) { return g.operand(x, op, false), nil })
		add(guardInto(op), func(x starlark.Value) (starlark.Value, error) { return g.operand(x, op, true), nil })
		add(guardAug(op), func(x starlark.Value) (starlark.Value, error) { return g.target(x, op), nil })
	}
	for _, op := range []syntax.Token{syntax.PLUS, syntax.MINUS, syntax.TILDE} {
		add(guardUnary(op), func(x starlark.Value) (starlark.Value, error) { return g.unary(op, x) })
	}
	for name, check := range checks {
		add(guardAttr(name), func(x starlark.Value) (starlark.Value, error) { return g.attr(x, name, check, false) })
		add(guardMethod(name), func(x starlark.Value) (starlark.Value, error) { return g.attr(x, name, check, true) })
	}
	add(guardSet, func(x starlark.Value) (starlark.Value, error) { return g.target(x, 0), nil })
	add(guardGet, func(x starlark.Value) (starlark.Value, error) { return g.keyed(x), nil })
	add(guardAt, func(x starlark.Value) (starlark.Value, error) { return g.at(x), nil })
	add(guardKey, func(k starlark.Value) (starlark.Value, error) { return k, g.literalKey(k) })
	add(guardOpen, g.open)
	add(guardPut, func(k starlark.Value) (starlark.Value, error) { return g.entry(k, false), nil })
	add(guardUniq, func(k starlark.Value) (starlark.Value, error) { return g.entry(k, true), nil })
	add(guardClose, g.closed)
	add(guardMake, func(v starlark.Value) (starlark.Value, error) { return v, g.made(v) })
	add(guardStep, func(x starlark.Value) (starlark.Value, error) { return g.stepping(x), nil })
	add(guardTaken, taken)
	add(guardEach, func(v starlark.Value) (starlark.Value, error) { return v, g.each(v, SlotSize) })
	add(guardArgs, func(v starlark.Value) (starlark.Value, error) { return v, g.each(v, 2*BoxSize) })
	add(guardNamed, func(v starlark.Value) (starlark.Value, error) { return v, g.named(v) })
	add(guardMany, func(v starlark.Value) (starlark.Value, error) { return v, g.many(v) })
	add(guardCall, func(v starlark.Value) (starlark.Value, error) { return starlark.True, g.called(v) })
}

// made charges for the value of a literal. The value is no larger than the source, or
// than its operands.
func (g *Guards) made(v starlark.Value) error {
	switch v := v.(type) {
	case starlark.Tuple:
		return g.slots(len(v))
	case *starlark.List:
		return g.slots(v.Len())
	case *starlark.Dict:
		if err := g.meter.Fits(pairSize * v.Len()); err != nil {
			return err
		}
		n := DictSize
		if v.Len() > 8 {
			n = EntrySize * v.Len()
		}
		return g.meter.Charge(uint64(n))
	case *starlark.Function:
		return g.meter.Charge(4 * BoxSize)
	case starlark.String:
		return g.meter.Read(len(v))
	case starlark.Bytes:
		return g.meter.Read(len(v))
	}
	return nil
}

// each charges size bytes for each element of v.
func (g *Guards) each(v starlark.Value, size int) error {
	if _, isText := v.(starlark.String); isText {
		return nil
	}
	return g.meter.Charge(uint64(max(starlark.Len(v), 0)) * uint64(size))
}

// literalKey charges for hashing a key of a small dict, and for comparing it with others.
func (g *Guards) literalKey(k starlark.Value) error {
	if err := g.meter.Hash(k); err != nil {
		return err
	}
	if leaf(k) {
		return g.mentioned(k)
	}
	return g.meter.Charge(literalEntries / 2 * g.meter.CompareSteps(k))
}

// named charges for making a dict of the keyword arguments.
func (g *Guards) named(v starlark.Value) error {
	if err := g.each(v, 2*BoxSize); err != nil {
		return err
	}
	d, ok := v.(*starlark.Dict)
	if !ok {
		return nil
	}
	for k := range starlark.Elements(d) {
		if err := g.mentioned(k); err != nil {
			return err
		}
	}
	return g.meter.Copy(d)
}

// mentioned charges for a possible message that contains a key or the like, and is copied
// more than once.
func (g *Guards) mentioned(k starlark.Value) error {
	if s, ok := k.(starlark.String); ok && len(s) < 1024 {
		return nil
	}
	if i, ok := k.(starlark.Int); ok && words(i) == 1 {
		return nil
	}
	n, err := g.meter.TextSize(k)
	if err != nil {
		return err
	}
	return g.meter.Charge(4 * uint64(n))
}

// many charges for searching parameters by name in a function with n parameters.
func (g *Guards) many(n starlark.Value) error {
	k, err := starlark.AsInt32(n)
	if err != nil {
		return err
	}
	return g.meter.Charge(uint64(k) * uint64(k) / 2)
}

// maxCallDepth is the maximum nesting depth of function calls, apart from loads. To
// detect recursion, the interpreter scans the whole stack at every call.
const maxCallDepth = 200

// called charges for a call of a function, and for its *args or **kwargs.
func (g *Guards) called(v starlark.Value) error {
	depth := g.thread.CallStackDepth()
	if depth > maxCallDepth+g.loads() {
		return &Error{
			Msg:  fmt.Sprintf("functions call each other deeper than %d", maxCallDepth),
			Hint: "use a for",
		}
	}
	if err := g.meter.Charge(uint64(depth) / 8); err != nil {
		return err
	}
	return g.made(v)
}
