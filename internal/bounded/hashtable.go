package bounded

import (
	"iter"
	"reflect"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// Dicts and sets are hash tables: 2ⁿ buckets, each a chain of blocks of 8 entries.
// The hashes of numbers and of short texts are known to everybody, so keys can be
// chosen that all go into one chain, where a search takes as long as the chain is.
// The interpreter does not say how long that is. So it is read from the table:
// fields of its types, by their numbers, to which TestTables holds them.
const (
	tableField   = 0 // of a dict, a set: the hash table; and the buckets in it
	entriesField = 0 // of a block
	hashField    = 0 // of an entry
	nextField    = 1 // of a block

	blockSize  = 8
	shortChain = 4 // blocks; keys that nobody chose make no longer ones
)

// buckets returns the first blocks of all chains of a dict or set; none for other values.
func buckets(of starlark.Value) reflect.Value {
	switch of := of.(type) {
	case *starlark.Dict:
		return reflect.ValueOf(of).Elem().Field(tableField).Field(tableField)
	case *starlark.Set:
		return reflect.ValueOf(of).Elem().Field(tableField).Field(tableField)
	}
	return reflect.ValueOf([]struct{}{})
}

// Buckets returns how much room a dict or set has: it keeps it when it becomes empty.
func Buckets(of starlark.Value) int { return buckets(of).Len() }

// chain returns how many blocks a chain has.
func chain(first reflect.Value) uint64 {
	n := uint64(1)
	for next := first.Field(nextField); !next.IsNil(); next = next.Elem().Field(nextField) {
		n++
	}
	return n
}

// equalHashes returns how many entries of a chain have that hash.
func equalHashes(first reflect.Value, hash uint32) (n uint64) {
	for block := first; ; block = block.Field(nextField).Elem() {
		entries := block.Field(entriesField)
		for i := range blockSize {
			if entries.Index(i).Field(hashField).Uint() == uint64(hash) {
				n++
			}
		}
		if block.Field(nextField).IsNil() {
			return n
		}
	}
}

// plain reports whether it takes no time to compare k with a few keys of the same hash.
func (m *Meter) plain(k starlark.Value) bool {
	switch k := k.(type) {
	case starlark.Tuple, *starlarkstruct.Struct:
		return false
	case starlark.Float: // whole numbers have the same hashes
		return false
	case starlark.Int:
		_, small := k.Int64()
		return small && m.mixed == 0
	}
	return true
}

// searchSteps returns what a search for k takes; nothing where there is no chain
// that somebody chose the keys of. The hashing of k is counted already.
func (m *Meter) searchSteps(table reflect.Value, k starlark.Value) uint64 {
	n, plain := table.Len(), m.plain(k)
	if n == 0 || n == 1 && plain && table.Index(0).Field(nextField).IsNil() {
		return 0
	}
	hash, err := k.Hash()
	if err != nil {
		return 0 // the operation says it, too
	}
	if hash == 0 {
		hash = 1 // 0 is an entry that is free
	}
	first := table.Index(int(hash) & (n - 1))
	blocks := chain(first)
	if plain && blocks <= shortChain {
		return 0
	}
	steps := equalHashes(first, hash) * m.CompareSteps(k)
	if blocks > shortChain {
		steps += blockSteps * blocks
	}
	return steps
}

// Key counts the hashing of k and the search for it in a dict or set.
func (m *Meter) Key(of, k starlark.Value) error {
	if err := m.Hash(k); err != nil || m == nil {
		return err
	}
	return m.search(buckets(of), k)
}

// search counts the search for k in a table.
func (m *Meter) search(table reflect.Value, k starlark.Value) error {
	if n := m.searchSteps(table, k); n > 0 {
		return m.Charge(n)
	}
	return nil
}

// NewKey is Key for a key that is put into a dict or set: that may make the table
// grow, which puts all its keys into another.
func (m *Meter) NewKey(of, k starlark.Value) error {
	if err := m.Hash(k); err != nil || m == nil {
		return err
	}
	table := buckets(of)
	if err := m.search(table, k); err != nil {
		return err
	}
	if n := starlark.Len(of); n < blockSize || 2*n < 13*table.Len() || has(of, k) {
		return nil
	}
	return m.grown(of, table)
}

// grown counts that all keys are put into another table. Apart from it, NewKey needs
// no memory.
func (m *Meter) grown(of starlark.Value, table reflect.Value) error {
	long := false
	for i := 0; i < table.Len() && !long; i++ {
		long = chain(table.Index(i)) > shortChain
	}
	for k := range keysOf(of) {
		if m.plain(k) && !long {
			continue
		}
		if err := m.Key(of, k); err != nil {
			return err
		}
	}
	return nil
}

func has(of, k starlark.Value) (found bool) {
	switch of := of.(type) {
	case *starlark.Dict:
		_, found, _ = of.Get(k) // what cannot be a key is not there
	case *starlark.Set:
		found, _ = of.Has(k)
	}
	return found
}

func keysOf(of starlark.Value) iter.Seq[starlark.Value] {
	if it, ok := of.(starlark.Iterable); ok {
		return starlark.Elements(it)
	}
	return func(func(starlark.Value) bool) {}
}

// Copy counts that all keys of d are put into another dict, by somebody who does
// not count.
func (m *Meter) Copy(d starlark.Value) error {
	if starlark.Len(d) <= shortChain*blockSize {
		return nil
	}
	hashes := make([]uint32, 0, starlark.Len(d))
	for k := range keysOf(d) {
		h, err := k.Hash()
		if err != nil {
			return nil // the operation says it, too
		}
		hashes = append(hashes, h)
	}
	return m.Charge(Crowding(hashes))
}

// Crowding returns what it takes to put keys of these hashes, each of them once,
// into an empty table, beyond what other keys take.
func Crowding(hashes []uint32) (steps uint64) {
	n := len(hashes)
	if n <= shortChain*blockSize {
		return 0
	}
	size := 1
	for 2*(n-1) >= 13*size { // as it grows
		size *= 2
	}
	lengths := make([]uint64, size)
	for _, h := range hashes {
		lengths[int(h)&(size-1)]++
	}
	for _, n := range lengths {
		if n > shortChain*blockSize {
			steps += n * n * (blockSteps/blockSize + 3) // with a comparison; twice what the last table takes
		}
	}
	return steps
}
