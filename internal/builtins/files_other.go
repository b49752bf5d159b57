//go:build !unix

package builtins

const noBlock = 0
