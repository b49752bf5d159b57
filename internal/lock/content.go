package lock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// The limits of one remote module.
const (
	MostFiles = 2000     // number of files
	MostSize  = 1 << 20  // size of a file, and of a listing, in bytes
	MostTotal = 16 << 20 // size of all files, in bytes
)

// ErrMissing is the error if content was not fetched to this machine.
var ErrMissing = errors.New("it has not been fetched to this machine")

// IsFile reports whether a file of that name belongs to a remote module, which consists
// only of its Starlark files.
func IsFile(name string) bool { return strings.HasSuffix(name, ".star") && path.Base(name) != ".star" }

// A Listing maps the paths of the files of a module to their digests. A lock file pins the
// digest of the listing, so a file can be verified by reading only the listing and that
// file.
type Listing map[string]plan.Digest

// Bytes returns the listing as it is stored: a line "DIGEST PATH" for each file, sorted
// by path.
func (l Listing) Bytes() []byte {
	var b strings.Builder
	for _, name := range l.Names() {
		fmt.Fprintf(&b, "%s %s\n", l[name], name)
	}
	return []byte(b.String())
}

// Names returns the paths of the files, sorted.
func (l Listing) Names() []string {
	names := make([]string, 0, len(l))
	for name := range l {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Name returns the name of the file in a cache that has the content of that digest. Names
// from a remote repository are never used as file names on this machine.
func Name(d plan.Digest) string { return strings.Replace(string(d), ":", "-", 1) }

// ReadListing reads the listing of that digest from a cache. It returns ErrMissing if the
// cache does not contain it.
func ReadListing(cache fs.FS, d plan.Digest) (Listing, error) {
	data, err := ReadFile(cache, d)
	if err != nil {
		return nil, err
	}
	l := Listing{}
	for line := range strings.Lines(string(data)) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || !plan.Digest(sum).Valid() || !fs.ValidPath(name) || !IsFile(name) {
			return nil, fmt.Errorf("%s is not a listing of a module", d)
		}
		l[name] = plan.Digest(sum)
	}
	return l, nil
}

// ReadFile reads the content of that digest from a cache and verifies it. It returns
// ErrMissing if the cache does not contain it.
func ReadFile(cache fs.FS, d plan.Digest) ([]byte, error) {
	info, err := fs.Stat(cache, Name(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > MostSize { // a fifo would block
		return nil, fmt.Errorf("the file that is stored as %s is not a file of a module", d)
	}
	file, err := cache.Open(Name(d))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // the file was only read
	data, err := io.ReadAll(io.LimitReader(file, MostSize+1))
	if err != nil {
		return nil, err
	}
	if got := plan.DigestOf(data); got != d {
		return nil, fmt.Errorf("the file that is stored as %s has the digest %s", d, got)
	}
	return data, nil
}
