package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// The environment that BuildKit gives to a scanner.
const (
	sourceVariable      = "BUILDKIT_SCAN_SOURCE"        // the directory with the files of the image
	extrasVariable      = "BUILDKIT_SCAN_SOURCE_EXTRAS" // a directory with more of them, such as that of another stage; may be missing
	destinationVariable = "BUILDKIT_SCAN_DESTINATION"   // the directory that a document of each is written to
)

// app has everything outside the process that the command uses, besides the directories.
type app struct {
	getenv func(string) string
	stdout io.Writer
}

// run writes the SBOM of each directory. It writes none if it cannot read one of them.
func (a app) run() error {
	source, destination := a.getenv(sourceVariable), a.getenv(destinationVariable)
	if source == "" || destination == "" {
		return fmt.Errorf("%s and %s must be set: this is a scanner that BuildKit runs, see docs/attestations/sbom-protocol.md there", sourceVariable, destinationVariable)
	}
	sources := []string{source}
	if extras := a.getenv(extrasVariable); extras != "" {
		more, err := os.ReadDir(extras)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, one := range more {
			if one.IsDir() {
				sources = append(sources, filepath.Join(extras, one.Name()))
			}
		}
	}
	for _, dir := range sources {
		found, err := scanned(dir)
		if err != nil {
			return fmt.Errorf("scan %s: %w", dir, err)
		}
		name := filepath.Base(dir)
		if err := write(filepath.Join(destination, name+".spdx.json"), name, found); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(a.stdout, "%s: %d packages\n", name, len(found)); err != nil {
			return err
		}
	}
	return nil
}

// write writes the SBOM of a directory to a file.
func write(file, name string, packages []component) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, f.Close()) }()
	return statement(f, name, packages)
}
