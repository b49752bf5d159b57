// Package tree has the tests that read the source tree itself: what may import
// what, which names are documented and have examples, where state is, what tests wait
// for, where the command writes, and whether the numbers of the contract that the code cites exist. It has no other code.
package tree
