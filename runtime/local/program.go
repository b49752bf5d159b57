package local

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
)

// findProgram finds a program of pipe that is separate because of its size: beside pipe, or on the PATH.
func findProgram(executable, name string) (string, error) {
	if goruntime.GOOS == "windows" {
		name += ".exe"
	}
	beside := filepath.Join(filepath.Dir(executable), name)
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s, which is neither %s nor on the PATH", name, beside)
	}
	return path, nil
}
