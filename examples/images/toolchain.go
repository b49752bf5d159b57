package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// A Toolchain is the Go of this machine, and how it gets modules.
type Toolchain struct {
	Root    string `json:"GOROOT"`
	Version string `json:"GOVERSION"` // such as go1.26.8
	Proxy   string `json:"GOPROXY"`
	SumDB   string `json:"GOSUMDB"`
	Private string `json:"GOPRIVATE"`
	NoSum   string `json:"GONOSUMDB"`
}

// FindToolchain asks the go command.
func FindToolchain(ctx context.Context) (Toolchain, error) {
	var t Toolchain
	out, err := exec.CommandContext(ctx, "go", "env", "-json", "GOROOT", "GOVERSION", "GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOSUMDB").Output()
	if err != nil {
		return t, fmt.Errorf("go env: %w", err)
	}
	if err := json.Unmarshal(out, &t); err != nil {
		return t, fmt.Errorf("go env: %w", err)
	}
	return t, nil
}

// Tag returns the version as the tags of the official image have it, without the last number: 1.26.
func (t Toolchain) Tag() string {
	parts := strings.SplitN(strings.TrimPrefix(t.Version, "go"), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// Pack adds what compiles Go to a layer: neither tests and documents nor the sources of the tools themselves.
func (t Toolchain) Pack(l *Layer, name string) error {
	root, err := filepath.EvalSymlinks(t.Root)
	if err != nil {
		return err
	}
	// This machine's way to modules becomes the image's. The environment of a build overrides it.
	env := fmt.Sprintf("GOPROXY=%s\nGOSUMDB=%s\nGOPRIVATE=%s\nGONOSUMDB=%s\nGOTOOLCHAIN=local\n", t.Proxy, t.SumDB, t.Private, t.NoSum)
	if err := l.File(path.Join(name, "go.env"), 0o644, []byte(env)); err != nil {
		return err
	}
	tools := path.Join("pkg/tool", runtime.GOOS+"_"+runtime.GOARCH)
	return l.Tree(root, name, func(rel string, dir bool) bool {
		top, _, _ := strings.Cut(rel, "/")
		switch {
		case rel == "VERSION" || rel == "LICENSE" || rel == "bin" || rel == "pkg" || rel == "pkg/tool" || rel == "lib" || rel == "src":
			return true
		case dir && path.Base(rel) == "testdata", strings.HasSuffix(rel, "_test.go"):
			return false
		case top == "src":
			return rel != "src/cmd"
		case top == "lib":
			return strings.HasPrefix(rel, "lib/time") || strings.HasPrefix(rel, "lib/fips140")
		}
		return top == "bin" || strings.HasPrefix(rel, "pkg/include") || rel == tools || strings.HasPrefix(rel, tools+"/")
	})
}
