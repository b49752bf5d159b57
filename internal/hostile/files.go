package hostile

import (
	"fmt"
	"strings"
)

// Files returns what the programs find in their folder: texts by paths.
func Files() map[string]string {
	deep := strings.Repeat("a.", 2000)
	files := map[string]string{
		"hostile.star": strings.Repeat("x", 100_000),
		"dotted.toml":  strings.Repeat(deep+"b = 1\n", 500),
		"deep.toml":    strings.Repeat("a.", 1_000_000) + "b = 1\n",
		"nested.toml":  "a = [" + strings.Repeat("[", 900) + strings.Repeat("]", 900) + "]\n",
	}
	for i := range 2000 {
		files[fmt.Sprintf("many/f%d", i)] = ""
	}
	return files
}
