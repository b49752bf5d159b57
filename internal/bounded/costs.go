package bounded

// The costs of operations, in steps. The package comment says what a step is. A cost that
// depends on more than a count (a search in a hash table, a comparison of numbers, the
// digits of a number) is computed where the operation is charged.

// Allocations: about the bytes of memory that are allocated.
const (
	valueSize = 16 // a starlark.Value: an interface of two words
	wordSize  = 8  // of a large integer

	SlotSize   = 32  // an element of a list: a value, and the same again because lists grow by more than they need
	BoxSize    = 48  // what a value points to: a list, a tuple, a large integer, a function, with the header of its block
	partSize   = 64  // a part of a split string: its header, the value and a slot
	fieldSize  = 100 // a field of a struct: name and value, which are copied and sorted
	attrSize   = 128 // an attribute of structs that are joined: it is listed, looked up and sorted
	EntrySize  = 160 // an entry of a dict or a set: 56 bytes, in blocks that are partly empty and are copied as the table grows
	bucketSize = 500 // a bucket of a hash table: a block of 8 entries and a pointer, 456 bytes
	DictSize   = 512 // an empty dict or set: its first bucket is part of it
)

// The size of a value, compared with the limit for one value. Growth and headers do not
// count here, so that the limit means the same for all programs.
const pairSize = 2 * valueSize // an entry of a dict or a set

// Reads: the number of bytes that take one step.
const (
	readBytes   = 16 // compared, hashed or copied by special instructions of the processor
	hashedBytes = 4  // of the type bytes, which are hashed byte by byte
	movedValues = 4  // elements that move within a list
)

// Time only: about tenths of a microsecond.
const (
	visitSteps    = 4    // to get an element of an iterable, through the iterator's interface
	compareSteps  = 8    // to compare two values that are not long
	blockSteps    = 24   // to search a block of a hash table: 8 entries that are not in the cache
	elementSteps  = 60   // to check and convert an element of a list or dict
	rememberSteps = 100  // to put a value into a Go map, to recognize it later
	manySteps     = 110  // elementSteps if there are so many elements that they are not in the cache, or are sorted
	dirSteps      = 1000 // to list and sort the attributes of a value
)
