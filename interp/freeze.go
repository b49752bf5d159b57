package interp

import (
	"errors"
	"fmt"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/bounded"
)

// freeze makes the globals of a module immutable, after a check that freezing them
// terminates (see bounded.Freezer).
func (e *evaluation) freeze(m *module, tree *syntax.File) error {
	f := bounded.NewFreezer(e.session.Meter)
	for _, name := range m.globals.Keys() {
		err := f.Check(m.globals[name])
		if errors.Is(err, bounded.ErrSteps) {
			err = fmt.Errorf("a value contains others more often than it takes steps to look at them")
		}
		if err != nil {
			e.report(e.pos(bound(tree, name)), fmt.Errorf("%s: %w", name, err))
			return errReported
		}
	}
	m.globals.Freeze()
	return nil
}

// bound returns where the file first binds name.
func bound(tree *syntax.File, name string) (pos syntax.Position) {
	syntax.Walk(tree, func(n syntax.Node) bool {
		if id, ok := n.(*syntax.Ident); ok && id.Name == name && !pos.IsValid() {
			pos = id.NamePos
		}
		_, inside := n.(*syntax.DefStmt)
		if def, ok := n.(*syntax.DefStmt); ok && def.Name.Name == name && !pos.IsValid() {
			pos = def.Name.NamePos
		}
		return !inside
	})
	return pos
}
