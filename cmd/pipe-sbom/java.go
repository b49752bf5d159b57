package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"io"
	"path"
	"regexp"
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
	return t.archive(f, info.Size(), name, path.Base(name), maxNesting)
}

// archive adds what is in an archive with a name of its own, which is in the file that name names.
func (t *tree) archive(r io.ReaderAt, size int64, name, own string, deeper int) error {
	z, err := zip.NewReader(r, size)
	if err != nil || len(z.File) > maxEntries {
		return nil
	}
	noted := false
	for _, f := range z.File {
		switch dir, base := path.Split(f.Name); {
		case base == "pom.properties" && strings.HasPrefix(dir, "META-INF/maven/"):
			noted = true
			if err := t.addPOM(inflated(f, maxMetadata), name); err != nil {
				return err
			}
		case deeper > 0 && isJava(base):
			if inner := inflated(f, maxInner); inner != nil {
				if err := t.archive(bytes.NewReader(inner), int64(len(inner)), name, base, deeper-1); err != nil {
					return err
				}
			}
		}
	}
	// Many programs that Gradle builds have no note, such as Spring, so their names and versions are taken from the name of the archive.
	// It does not contain the group, which a package URL requires.
	if m := versioned.FindStringSubmatch(own); m != nil && !noted {
		return t.addIf(component{name: m[1], version: m[2], found: name})
	}
	return nil
}

// versioned matches the name of an archive with a version, as Maven and Gradle name it.
var versioned = regexp.MustCompile(`^(.+?)-(\d[^/]*)\.jar$`)

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
