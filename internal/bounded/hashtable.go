package bounded

import (
	"iter"
	"reflect"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// Dicts and sets are hash tables: 2ⁿ buckets, each a chain of blocks of 8 entries. The
// hashes of numbers and of short strings are predictable, so keys can be chosen that all
// collide in one chain, where a search takes as long as the chain is. The interpreter
// does not expose the length of a chain. So it is read from the table by reflection, by
// the indices of the fields of its types. TestTables checks these.
const (
	tableField   = 0 // of a dict, a set: the hash table; and the buckets in it
	entriesField = 0 // of a block
	hashField    = 0 // of an entry
	nextField    = 1 // of a block

	blockSize  = 8
	shortChain = 4 // blocks; keys that were not chosen to collide make no longer ones
)

// buckets returns the first blocks of all chains of a dict or set, or none for other
// values.
func buckets(of starlark.Value) reflect.Value {
	switch of := of.(type) {
	case *starlark.Dict:
		return reflect.ValueOf(of).Elem().Field(tableField).Field(tableField)
	case *starlark.Set:
		return reflect.ValueOf(of).Elem().Field(tableField).Field(tableField)
	}
	return reflect.ValueOf([]struct{}{})
}

// Buckets returns the capacity of a dict or set in buckets. It does not shrink when
// elements are deleted.
func Buckets(of starlark.Value) int { return buckets(of).Len() }

// chain returns the number of blocks in a chain.
func chain(first reflect.Value) uint64 {
	n := uint64(1)
	for next := first.Field(nextField); !next.IsNil(); next = next.Elem().Field(nextField) {
		n++
	}
	return n
}

// equalHashes returns the number of entries in a chain with that hash.
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

// plain reports whether comparing k with a few keys of the same hash takes no noticeable
// time.
func (m *Meter) plain(k starlark.Value) bool {
	switch k := k.(type) {
	case starlark.Tuple, *starlarkstruct.Struct:
		return false
	case starlark.Float: // integers have the same hashes
		return false
	case starlark.Int:
		_, small := k.Int64()
		return small && m.mixed == 0
	}
	return true
}

// searchSteps returns the steps of a lookup of k, or 0 if its chain is not longer than
// usual. The hashing of k is charged already.
func (m *Meter) searchSteps(table reflect.Value, k starlark.Value) uint64 {
	n, plain := table.Len(), m.plain(k)
	if n == 0 || n == 1 && plain && table.Index(0).Field(nextField).IsNil() {
		return 0
	}
	hash, err := k.Hash()
	if err != nil {
		return 0 // the operation reports the same error
	}
	if hash == 0 {
		hash = 1 // 0 marks a free entry
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

// Key charges for hashing k and looking it up in a dict or set.
func (m *Meter) Key(of, k starlark.Value) error {
	if err := m.Hash(k); err != nil || m == nil {
		return err
	}
	return m.search(buckets(of), k)
}

// search charges for looking up k in a table.
func (m *Meter) search(table reflect.Value, k starlark.Value) error {
	if n := m.searchSteps(table, k); n > 0 {
		return m.Charge(n)
	}
	return nil
}

// NewKey is Key for a key that is inserted into a dict or set. The insertion may make the
// table grow, which rehashes all its keys.
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

// grown charges for inserting all keys into a larger table. It is separate, so that
// NewKey does not allocate.
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
		_, found, _ = of.Get(k) // a value that cannot be a key is not found
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

// Copy charges for code that does not charge itself and inserts all keys of d into
// another dict.
func (m *Meter) Copy(d starlark.Value) error {
	if starlark.Len(d) <= shortChain*blockSize {
		return nil
	}
	hashes := make([]uint32, 0, starlark.Len(d))
	for k := range keysOf(d) {
		h, err := k.Hash()
		if err != nil {
			return nil // the operation reports the same error
		}
		hashes = append(hashes, h)
	}
	return m.Charge(Crowding(hashes))
}

// Crowding returns the additional steps of inserting distinct keys with these hashes into
// an empty table, compared with keys that do not collide.
func Crowding(hashes []uint32) (steps uint64) {
	n := len(hashes)
	if n <= shortChain*blockSize {
		return 0
	}
	size := 1
	for 2*(n-1) >= 13*size { // like the growth of the table
		size *= 2
	}
	lengths := make([]uint64, size)
	for _, h := range hashes {
		lengths[int(h)&(size-1)]++
	}
	for _, n := range lengths {
		if n > shortChain*blockSize {
			steps += n * n * (blockSteps/blockSize + 3) // including a comparison; twice the cost of the last table
		}
	}
	return steps
}
