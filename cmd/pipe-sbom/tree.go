package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
)

// A component is a package that was found.
type component struct {
	name, version string
	license       string // as the package says it; empty: it does not
	purl          string
	found         string // the file that says so, in the image
}

func (c component) compare(o component) int {
	return cmp.Or(cmp.Compare(c.name, o.name), cmp.Compare(c.version, o.version), cmp.Compare(c.purl, o.purl), cmp.Compare(c.found, o.found))
}

// A tree is the files of an image. Nothing follows a symbolic link in it: each file is found where it is.
type tree struct {
	dir      string
	root     *os.Root
	distro   distro
	packages []component
}

// scanned returns the packages in a directory, sorted. The same files have the same packages.
func scanned(dir string) ([]component, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // it was only read
	t := &tree{dir: dir, root: root}
	if t.distro, err = t.readDistro(); err != nil {
		return nil, err
	}
	files := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if files++; files > maxFiles {
			return fmt.Errorf("it has more than %d files", maxFiles)
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		read := readerOf(name)
		if read == nil {
			info, err := e.Info()
			if err != nil || info.Mode()&0o111 == 0 {
				return err
			}
			read = readGo
		}
		if err := read(t, name); err != nil {
			return fmt.Errorf("/%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(t.packages, component.compare)
	return slices.Compact(t.packages), nil
}

// readerOf returns what reads the packages that a file with this name says are installed; nil: it says none, but may
// be a program. A database that
// cannot be read fails the scan, as without it the SBOM would lack packages and nobody would know; a file that
// is not what its name says is not a package.
func readerOf(name string) func(*tree, string) error {
	switch dir, base := path.Split(name); {
	case isAPK(name):
		return readAPK
	case isDpkg(dir, base):
		return readDpkg
	case isRPM(dir, base):
		return readRPM
	case isPython(name):
		return readPython
	case isNPM(name):
		return readNPM
	case isJava(base):
		return readJava
	}
	return nil
}

// open opens a regular file.
func (t *tree) open(name string) (*os.File, fs.FileInfo, error) {
	f, err := t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // the open of a FIFO would wait
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// database opens a database of packages.
func (t *tree) database(name string) (*os.File, fs.FileInfo, error) {
	f, info, err := t.open(name)
	if err == nil && info.Size() > maxDatabase {
		f.Close()
		return nil, nil, fmt.Errorf("it has more than %d MiB", maxDatabase>>20)
	}
	return f, info, err
}

// content returns the content of a file; nil if it has more than limit bytes.
func (t *tree) content(name string, limit int64) ([]byte, error) {
	f, _, err := t.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if int64(len(data)) > limit {
		return nil, err
	}
	return data, err
}

// errFields is the error of a database with a package whose name, version or license cannot be right.
var errFields = errors.New("a package in it has no name or no version, or they are too long")

// known returns a license, or "" if it is too long: it may be the text of a license, or list hundreds, and the package is
// one without it.
func known(license string) string {
	if len(license) > maxField {
		return ""
	}
	return license
}

// add adds a package of a database.
func (t *tree) add(c component) error {
	if c.name == "" || c.version == "" || max(len(c.name), len(c.version), len(c.license)) > maxField {
		return errFields
	}
	if len(t.packages) == maxPackages {
		return fmt.Errorf("the image has more than %d packages", maxPackages)
	}
	t.packages = append(t.packages, c)
	return nil
}

// addIf adds a package that a file of its own describes, if the file does describe one.
func (t *tree) addIf(c component) error {
	if err := t.add(c); !errors.Is(err, errFields) {
		return err
	}
	return nil
}
