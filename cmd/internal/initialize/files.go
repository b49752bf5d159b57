package initialize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits of what is read. A typical project has a hundredth of it.
const (
	maxFile    = 1 << 20 // bytes of a file
	maxTotal   = 16 << 20
	maxFiles   = 500     // files that are read
	maxEntries = 20000   // directory entries that are visited
	maxDepth   = 6       // nesting of directories
	maxDocs    = 2000    // documents in a file
	maxNodes   = 200_000 // values in a document, with aliases expanded
)

// files reads files in a directory. No symbolic link leads out of it.
type files struct {
	root  *os.Root
	read  int
	count int
}

func (f *files) stat(name string) (fs.FileInfo, error) { return f.root.Stat(name) }

func (f *files) isFile(name string) bool {
	info, err := f.root.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func (f *files) isDir(name string) bool {
	info, err := f.root.Stat(name)
	return err == nil && info.IsDir()
}

// text returns a text file without carriage returns and byte order mark.
func (f *files) text(name string) ([]byte, error) {
	if !local(name) {
		return nil, fmt.Errorf("%s is outside of the directory; copy it into the directory, or run pipe init in a parent directory", name)
	}
	info, err := f.root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w; symbolic links must not lead out of the directory", name, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", name)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s has %d bytes; pipe init reads files of at most %d", name, info.Size(), maxFile)
	}
	if f.count++; f.count > maxFiles {
		return nil, fmt.Errorf("there are more than %d files to read: select some of them with --from", maxFiles)
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if f.read += len(data); len(data) > maxFile || f.read > maxTotal {
		return nil, fmt.Errorf("%s is too large: pipe init reads files of at most %d bytes, %d in total", name, maxFile, maxTotal)
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, fmt.Errorf("%s is not valid UTF-8", name)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	return bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), nil
}

// local reports whether a slash-separated name stays within the directory.
func local(name string) bool {
	name = path.Clean(name)
	return name != ".." && !strings.HasPrefix(name, "../") && !path.IsAbs(name) && !strings.ContainsAny(name, "\x00\\")
}

// documents decodes each document of a YAML file without a schema.
func documents(name string, data []byte) ([]any, error) {
	var out []any
	d := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var node yaml.Node
		err := d.Decode(&node)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s is not valid YAML: %w", name, err)
		}
		var doc any
		if err := node.Decode(&doc); err != nil { // limits the expansion of aliases
			return nil, fmt.Errorf("%s is not valid YAML: %w", name, err)
		}
		nodes := 0
		if doc, err = plain(doc, 0, &nodes); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if out = append(out, doc); len(out) > maxDocs {
			return nil, fmt.Errorf("%s has more than %d documents", name, maxDocs)
		}
	}
}

// plain converts a decoded value to one with string keys, within the limits.
func plain(v any, depth int, nodes *int) (any, error) {
	if *nodes++; *nodes > maxNodes {
		return nil, fmt.Errorf("it has more than %d values", maxNodes)
	}
	if depth > 100 {
		return nil, errors.New("it is nested more than 100 deep")
	}
	var err error
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if v[k], err = plain(e, depth+1, nodes); err != nil {
				return nil, err
			}
		}
		return v, nil
	case map[any]any:
		out := map[string]any{}
		for k, e := range v {
			if out[fmt.Sprint(k)], err = plain(e, depth+1, nodes); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		for i, e := range v {
			if v[i], err = plain(e, depth+1, nodes); err != nil {
				return nil, err
			}
		}
		return v, nil
	case nil, bool, int, int64, uint64, float64, string:
		return v, nil
	}
	return fmt.Sprint(v), nil // a timestamp
}

// notLooked are directories that normally contain nothing to deploy.
var notLooked = []string{"node_modules", "vendor", "testdata", "dist", "target", "__pycache__", "venv", "third_party"}

// walk calls visit for each file below dir, in order. It skips hidden directories,
// symbolic links and directories of packages. It reports whether it has visited
// everything.
func (f *files) walk(dir string, visit func(name string)) (complete bool, err error) {
	entries := 0
	complete = true
	var look func(dir string, depth int) error
	look = func(dir string, depth int) error {
		d, err := f.root.Open(dir)
		if err != nil {
			return fmt.Errorf("read %s: %w", dir, err)
		}
		list, err := d.ReadDir(maxEntries + 1)
		d.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", dir, err)
		}
		slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		var dirs []string
		for _, e := range list {
			if entries++; entries > maxEntries {
				complete = false
				return nil
			}
			name := path.Join(dir, e.Name())
			switch {
			case e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(notLooked, e.Name()):
				dirs = append(dirs, name)
			case e.Type().IsRegular():
				visit(name)
			}
		}
		for _, name := range dirs {
			if depth == maxDepth {
				complete = false
				break
			}
			if err := look(name, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return complete, look(dir, 0)
}
