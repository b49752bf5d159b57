// Package watch notices what changes of a plan's inputs (SPEC W1, W2, W5).
package watch
