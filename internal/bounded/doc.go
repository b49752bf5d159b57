// Package bounded is Starlark in which every operation is metered: no program, even a
// hostile one, takes more time and memory than its limits allow.
//
// # What a step is
//
// The interpreter counts its instructions as steps and ends a program that takes too many.
// But one instruction can run for hours or use all memory: "x" * 1000000000, sorted(list),
// x == y for values that contain others many times. So every operation whose cost depends
// on its operands is charged more steps. A step is
//
//   - about a byte of memory that is allocated, or
//   - about a tenth of a microsecond, in which 16 bytes are read.
//
// One unit for both keeps the limit simple: a program has one number of steps, which
// bounds its time and its memory. With 100 million steps a program allocates about 100 MB
// at most, and runs for some seconds at most. Memory counts when it is allocated, even if
// it becomes garbage immediately, because the meter cannot know when it is released. The
// costs are upper bounds, tested with hostile programs (internal/hostile). costs.go lists
// them in one table, each with its reason.
//
// # Charged before it happens
//
// An operation is charged before it is done, based on its operands. So a program ends
// before it has allocated the memory.
//
//   - An operation that makes a string is charged for its bytes ([Meter.Make]); one that
//     makes a list, a dict or a set, for each element or entry and for the header.
//   - One that only reads strings or bytes is charged for each 16 bytes ([Meter.Read]).
//   - One that walks a value, such as a conversion or str(x), is charged for every
//     value in it ([Meter.Walk], [Meter.Text]). A value that is contained twice counts
//     twice, because the operation visits it twice.
//   - A comparison is charged as if everything but the last elements were equal
//     ([Meter.Compare]).
//   - A lookup of a key is charged for hashing the key and, if its chain in the hash table
//     is long, for the entries of the chain ([Meter.Key], [Meter.NewKey]). Keys can be
//     chosen so that they collide.
//   - Multiplication and division of large numbers are charged for the product of their
//     lengths.
//   - An operation that calls functions of the program, such as sorted(key = f), is also
//     charged for what it does with their results.
//
// Functions and values of the host charge for themselves, with the same [Meter].
//
// The operators, methods and literals of a program are charged by guards, which [Rewrite]
// puts into its syntax tree and [Guards] implements. Functions of Starlark are replaced with
// functions that charge (universe.go). Where the interpreter would make a dict or a set in
// one step, at a cost that depends on the table, it is made here, key by key (tables.go).
//
// # What is not bounded by steps
//
// Some bounds are not a number of steps, because exceeding them would crash the process, or
// because no step has been counted yet:
//
//   - The size of one value has the limit that is given to [NewMeter] ([Meter.Fits]).
//   - The nesting of values ([MaxDepth]), syntax ([Tokens], [CheckTree]) and calls has
//     limits, because Go cannot recover from an exhausted stack. [Freezer] checks that
//     freezing a value ends.
//   - The size of a module ([CheckModule]) and its tokens ([Tokens]) have limits, because
//     the parser runs before the program does.
//   - The digits of a number have a limit ([MaxDigits]).
//   - The context ends a program, too: it is checked about every 10 000 steps, and [Await]
//     returns when it ends even if a function of the interpreter is still running.
package bounded
