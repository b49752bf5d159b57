package bounded

import "go.starlark.net/starlark"

// AwaitAlways is the n of Await for work that has no known size.
const AwaitAlways = 1 << 40

// AwaitFrom is how many steps have to be counted for work to be awaited: less takes
// no time that anybody sees.
const AwaitFrom = 64 << 10

// Await calls f, which works on n bytes and does not know the context, and
// returns without it when the context ends. What f works on is bounded, so f ends.
func Await[T any](m *Meter, n int, f func() (T, error)) (T, error) {
	if m == nil || n < AwaitFrom {
		return f()
	}
	type outcome struct {
		v     T
		err   error
		panic any
	}
	done := make(chan outcome, 1)
	go func() {
		var out outcome
		defer func() {
			out.panic = recover()
			done <- out
		}()
		out.v, out.err = f()
	}()
	select {
	case out := <-done:
		if out.panic != nil {
			panic(out.panic) //nolint:forbidigo // the panic of the goroutine goes on where Eval recovers it
		}
		return out.v, out.err
	case <-m.ctx.Done():
		var none T
		return none, m.ctx.Err()
	}
}

// Steps returns how many steps are counted so far.
func (m *Meter) Steps() uint64 {
	if m == nil {
		return 0
	}
	return m.thread.Steps
}

// Await calls a function of the interpreter that changes nothing but its receiver
// and calls nothing of the program. If more was counted for it since the meter had
// the given steps than takes no time, the context can end before it does: then
// nobody sees the receiver again.
func (m *Meter) Await(since uint64, f *starlark.Builtin, th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if m.Steps()-since < AwaitFrom {
		return f.CallInternal(th, args, kwargs)
	}
	return m.await(f, th, args, kwargs)
}

// await is apart from Await, which then needs no memory.
func (m *Meter) await(f *starlark.Builtin, th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return Await(m, AwaitAlways, func() (starlark.Value, error) { return f.CallInternal(th, args, kwargs) })
}

// AwaitValue is Await for what is no function, nor calls one.
func (m *Meter) AwaitValue(since uint64, f func() (starlark.Value, error)) (starlark.Value, error) {
	return Await(m, int(m.Steps()-since), f)
}
