package main

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"runtime"

	"github.com/pipelinefile/pipe/internal/background"
)

// browse opens a URL in the browser of the user, which outlives pipe. It returns
// when the system has taken the URL, or an error that says why nothing was opened.
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

// opener returns the program that opens a URL, and its arguments before that.
func opener(system string) (name string, args []string) {
	switch system {
	case "darwin":
		return "open", nil
	case "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler"}
	}
	return "xdg-open", nil
}
