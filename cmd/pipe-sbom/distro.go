package main

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"strings"
)

// A distro is the distribution of an image, as os-release(5) names it.
type distro struct{ id, version string }

// maxRelease is the size of a file os-release that is read, in bytes.
const maxRelease = 64 << 10

// readDistro finds out the distribution; an image may have none.
func (t *tree) readDistro() (distro, error) {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} { // the first is often a link to the second
		info, err := t.root.Lstat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		data, err := t.content(name, maxRelease)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return distro{}, err
		}
		return parseDistro(data), nil
	}
	return distro{}, nil
}

func parseDistro(data []byte) (d distro) {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch key {
		case "ID":
			d.id = value
		case "VERSION_ID":
			d.version = value
		}
	}
	return d
}

// qualifier is the value of the qualifier "distro" of a package URL; empty: it is not known.
func (d distro) qualifier() string {
	if d.id == "" || d.version == "" {
		return d.id
	}
	return d.id + "-" + d.version
}
