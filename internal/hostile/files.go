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
	files["documents.yaml"] = strings.Repeat("a\n---\n", 600_000)
	files["aliases.yaml"] = "kind: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := range 11 {
		files["aliases.yaml"] += fmt.Sprintf("b%d: &a%d [%s]\n", i, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), ", "))
	}
	for i := range 1000 {
		files["objects.yaml"] += fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: s%d}\n", i)
	}
	var env strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&env, "V%d=\"%s\"\n", i, strings.Repeat("\\n", 5))
	}
	files["large.env"] = env.String()
	files["open.env"] = "A=\"" + strings.Repeat("x\n", 1_000_000)
	for i := range 2000 {
		files[fmt.Sprintf("many/f%d", i)] = ""
	}
	return files
}
