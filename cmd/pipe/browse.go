package main

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"runtime"

	"github.com/pipelinefile/pipe/internal/background"
)

// browse opens a URL in the user's browser, which outlives pipe. It returns
// when the system has accepted the URL, or an error if nothing was opened.
func browse(ctx context.Context, address string) error {
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%s is not the address of a web page", address)
	}
	name, args := opener(runtime.GOOS)
	cmd := exec.CommandContext(ctx, name, append(args, address)...)
	background.Detach(cmd)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// opener returns the program that opens a URL, and the arguments that precede
// the URL.
func opener(system string) (name string, args []string) {
	switch system {
	case "darwin":
		return "open", nil
	case "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler"}
	}
	return "xdg-open", nil
}
