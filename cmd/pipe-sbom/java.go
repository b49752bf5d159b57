package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"io"
	"path"
	"slices"
	"strings"
)

// Limits of an archive of Java, which is compressed and may contain others.
const (
	maxInner   = 128 << 20 // bytes of an archive in another one
	maxNesting = 2         // archives in archives: a war in an ear, with a jar in it
	maxEntries = 200_000
)

// isJava reports whether a file is an archive of Java.
func isJava(base string) bool {
	return slices.Contains([]string{".jar", ".war", ".ear"}, strings.ToLower(path.Ext(base)))
}

// readJava reads the coordinates that Maven and Gradle have noted in an archive, and in those inside of it.
func readJava(t *tree, name string) error {
	f, info, err := t.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.archive(f, info.Size(), name, maxNesting)
}

func (t *tree) archive(r io.ReaderAt, size int64, name string, deeper int) error {
	z, err := zip.NewReader(r, size)
	if err != nil || len(z.File) > maxEntries {
		return nil
	}
	for _, f := range z.File {
		switch dir, base := path.Split(f.Name); {
		case base == "pom.properties" && strings.HasPrefix(dir, "META-INF/maven/"):
			if err := t.addPOM(inflated(f, maxMetadata), name); err != nil {
				return err
			}
		case deeper > 0 && isJava(base):
			if inner := inflated(f, maxInner); inner != nil {
				if err := t.archive(bytes.NewReader(inner), int64(len(inner)), name, deeper-1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// inflated returns the content of a file in an archive; nil if it is damaged or has more than limit bytes.
func inflated(f *zip.File, limit int64) []byte {
	r, err := f.Open()
	if err != nil {
		return nil
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil || int64(len(data)) > limit {
		return nil
	}
	return data
}

// addPOM adds the artifact that a file pom.properties describes.
func (t *tree) addPOM(data []byte, found string) error {
	of := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			of[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	group, artifact, version := of["groupId"], of["artifactId"], of["version"]
	if artifact == "" {
		return nil
	}
	return t.addIf(component{name: group + ":" + artifact, version: version, purl: purl("maven", group, artifact, version, nil), found: found})
}
