package bounded

import "go.starlark.net/starlark"

// AwaitAlways is the n of Await for work of unknown size.
const AwaitAlways = 1 << 40

// AwaitFrom is the minimum number of steps for which work is awaited. Less work takes no
// noticeable time.
const AwaitFrom = 64 << 10

// Await calls f, which works on n bytes and does not check the context, and returns early
// if the context ends. f then continues in the background; it terminates, because its
// input is bounded.
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

// Steps returns the number of steps counted so far.
func (m *Meter) Steps() uint64 {
	if m == nil {
		return 0
	}
	return m.thread.Steps
}

// Await calls a function of the interpreter that modifies only its receiver and does not
// call the program. since is the number of steps before the function was charged. If the
// charge is large, Await returns early if the context ends; the receiver is then not used
// again.
func (m *Meter) Await(since uint64, f *starlark.Builtin, th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if m.Steps()-since < AwaitFrom {
		return f.CallInternal(th, args, kwargs)
	}
	return m.await(f, th, args, kwargs)
}

// await is separate, so that Await does not allocate.
func (m *Meter) await(f *starlark.Builtin, th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return Await(m, AwaitAlways, func() (starlark.Value, error) { return f.CallInternal(th, args, kwargs) })
}

// AwaitValue is Await for work that is not a call of a function, and does not call one.
func (m *Meter) AwaitValue(since uint64, f func() (starlark.Value, error)) (starlark.Value, error) {
	return Await(m, int(m.Steps()-since), f)
}
