package modules

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/internal/paths"
)

// A place is a file that loads other files, in the workspace or in a remote module.
type place struct {
	module string // empty: the workspace
	file   string
}

// walk follows the load statements from the Pipelinefile on, without executing
// anything, and calls need once for each remote module. need returns the files of the
// module, or nil if they are unknown. walk returns the files that load each module, by
// module.
func (p Project) walk(ctx context.Context, need func(lock.Module) (lock.Listing, error)) (map[string][]string, error) {
	rel, err := filepath.Rel(p.Root, p.File)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(p.Root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // only read
	var (
		needed   = map[string][]string{}
		listings = map[string]lock.Listing{}
		todo     = []place{{file: filepath.ToSlash(rel)}}
		seen     = map[place]bool{todo[0]: true}
	)
	add := func(next place) {
		if !seen[next] {
			seen[next] = true
			todo = append(todo, next)
		}
	}
	for ; len(todo) > 0; todo = todo[1:] {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		at := todo[0]
		text, err := p.text(dir, at, listings)
		if err != nil {
			return nil, err
		}
		loads, err := loadsOf(at, text)
		if err != nil {
			return nil, err
		}
		for _, l := range loads {
			if !lock.IsRemote(l.name) {
				if file, err := paths.Resolve(path.Dir(at.file), l.name); err == nil && !strings.HasPrefix(l.name, "@") && !strings.Contains(l.name, "://") {
					add(place{at.module, file}) // the evaluation reports invalid names
				}
				continue
			}
			m, file, err := lock.ParseLoad(l.name)
			if err != nil {
				return nil, fmt.Errorf("%s: load: %w", l.pos, err)
			}
			name := m.String()
			if by := at.String(); !slices.Contains(needed[name], by) {
				needed[name] = append(needed[name], by)
			}
			if _, ok := listings[name]; !ok {
				if listings[name], err = need(m); err != nil {
					return nil, err
				}
			}
			if listing := listings[name]; listing != nil {
				if _, ok := listing[file]; !ok {
					return nil, fmt.Errorf("%s: load: %s has no file %s", l.pos, name, file)
				}
				add(place{name, file})
			}
		}
	}
	return needed, nil
}

// String returns the file in the workspace, or the remote module.
func (p place) String() string {
	if p.module == "" {
		return p.file
	}
	return p.module
}

// text returns the content of a file. It is empty for a file that does not exist:
// the evaluation reports that at the load statement.
func (p Project) text(dir *os.Root, at place, listings map[string]lock.Listing) ([]byte, error) {
	if at.module != "" {
		d, ok := listings[at.module][at.file]
		if !ok {
			return nil, nil
		}
		return lock.ReadFile(Cache(p.Cache), d)
	}
	info, err := dir.Stat(at.file)
	if err != nil || !info.Mode().IsRegular() {
		if at.file == filepath.Base(p.File) && err != nil {
			return nil, err
		}
		return nil, nil
	}
	file, err := dir.Open(at.file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	return io.ReadAll(io.LimitReader(file, bounded.MaxModule+1))
}

type loadStmt struct {
	name string
	pos  syntax.Position
}

func loadsOf(at place, text []byte) ([]loadStmt, error) {
	name := at.file
	if at.module != "" {
		name = at.module + "//" + at.file
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // the byte order mark of some editors
	if line, col, err := bounded.CheckModule(text); err != nil {
		return nil, fmt.Errorf("%s:%d:%d: %w", name, line, col, err)
	}
	options := syntax.FileOptions{Set: true, TopLevelControl: true, GlobalReassign: true}
	tree, err := options.Parse(name, text, 0)
	if err != nil {
		return nil, err
	}
	var out []loadStmt
	syntax.Walk(tree, func(n syntax.Node) bool {
		if l, ok := n.(*syntax.LoadStmt); ok {
			out = append(out, loadStmt{l.ModuleName(), l.Load})
		}
		return true
	})
	return out, nil
}
