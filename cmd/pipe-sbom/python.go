package main

import (
	"bufio"
	"errors"
	"io"
	"path"
	"strings"
)

// isPython reports whether a file is the metadata of an installed distribution of Python.
func isPython(name string) bool {
	dir, base := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	return base == "METADATA" && strings.HasSuffix(dir, ".dist-info") || base == "PKG-INFO" && strings.HasSuffix(dir, ".egg-info") || strings.HasSuffix(base, ".egg-info")
}

// errDone ends the reading of a file early.
var errDone = errors.New("done")

func readPython(t *tree, name string) error {
	f, _, err := t.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	// The first stanza has the fields; the description follows.
	err = stanzas(bufio.NewReader(io.LimitReader(f, maxMetadata)), []string{"Name", "Version", "License-Expression", "License"}, func(of map[string]string) error {
		license := of["License-Expression"]
		if license == "" {
			license = of["License"]
		}
		project := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(of["Name"]))
		if err := t.addIf(component{of["Name"], of["Version"], known(license), purl("pypi", "", project, of["Version"], nil), name}); err != nil {
			return err
		}
		return errDone
	})
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}
