package interp

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// maxLibrary is the maximum number of modules of a library that are searched for names.
const maxLibrary = 100

// offers returns the names that the modules of the libraries define, each with the load
// statement for it. If several modules define a name, the first one is used.
func (e *evaluation) offers() map[string]string {
	offers := map[string]string{}
	for _, lib := range slices.Sorted(maps.Keys(e.libs)) {
		files, _ := fs.Glob(e.libs[lib], "*.star")
		for _, file := range files[:min(len(files), maxLibrary)] {
			text, err := fs.ReadFile(e.libs[lib], file)
			if err != nil || strings.HasSuffix(file, "_test.star") {
				continue
			}
			tree, err := dialect.Parse(file, text, 0)
			if err != nil {
				continue // a module with errors offers nothing
			}
			for _, name := range globals(tree) {
				if offers[name] == "" && !strings.HasPrefix(name, "_") {
					offers[name] = fmt.Sprintf("write load(%q, %q)", "@"+lib+"//"+file, name)
				}
			}
		}
	}
	return offers
}
