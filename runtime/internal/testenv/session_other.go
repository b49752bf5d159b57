//go:build !unix

package testenv

import "syscall"

func ownSession() *syscall.SysProcAttr { return nil }
