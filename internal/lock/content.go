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

// The bounds of one remote module.
const (
	MostFiles = 2000     // modules in it
	MostSize  = 1 << 20  // of a file, and of a listing, in bytes
	MostTotal = 16 << 20 // of all files, in bytes
)

// ErrMissing is the error of content that was not fetched to this machine.
var ErrMissing = errors.New("it was not fetched to this machine")

// IsFile reports whether a file of that name is kept: a remote module is its
// Starlark files and nothing else.
func IsFile(name string) bool { return strings.HasSuffix(name, ".star") && path.Base(name) != ".star" }

// A Listing is the files of a module, with the digest of each, by path. Its
// own digest is what a lock file pins: so a file is proven by reading the
// listing and that file alone.
type Listing map[string]plan.Digest

// Bytes returns the listing as it is kept: a line "DIGEST PATH" for each file,
// sorted by path.
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

// Name is under which name the content of that digest is kept in a cache: no
// name of a remote repository ever is a name on this machine.
func Name(d plan.Digest) string { return strings.Replace(string(d), ":", "-", 1) }

// ReadListing reads the listing of that digest from a cache. The error is
// ErrMissing if it is not there.
func ReadListing(cache fs.FS, d plan.Digest) (Listing, error) {
	data, err := ReadFile(cache, d)
	if err != nil {
		return nil, err
	}
	l := Listing{}
	for line := range strings.Lines(string(data)) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || !digest.MatchString(sum) || !fs.ValidPath(name) || !IsFile(name) {
			return nil, fmt.Errorf("%s is no listing of a module", d)
		}
		l[name] = plan.Digest(sum)
	}
	return l, nil
}

// ReadFile reads the content of that digest from a cache, and proves it. The
// error is ErrMissing if it is not there.
func ReadFile(cache fs.FS, d plan.Digest) ([]byte, error) {
	info, err := fs.Stat(cache, Name(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > MostSize { // a fifo would block
		return nil, fmt.Errorf("what is kept as %s is something else", d)
	}
	file, err := cache.Open(Name(d))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	data, err := io.ReadAll(io.LimitReader(file, MostSize+1))
	if err != nil {
		return nil, err
	}
	if got := plan.DigestOf(data); got != d {
		return nil, fmt.Errorf("what is kept as %s has the digest %s", d, got)
	}
	return data, nil
}
