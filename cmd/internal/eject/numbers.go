package eject

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// sets returns the --set arguments that pass the integers of a values file to a
// release exactly. Helm decodes the numbers of a file as floats, which a
// template prints with an exponent: 20190612073634 as 2.0190612073634e+13.
func sets(path string, v any) (args []string) {
	switch v := v.(type) {
	case int64:
		if fmt.Sprint(v) != fmt.Sprint(float64(v)) {
			args = append(args, fmt.Sprintf("%s=%d", path, v))
		}
	case uint64, json.Number: // larger than an int64
		args = append(args, fmt.Sprintf("%s=%v", path, v))
	case []any:
		for i, e := range v {
			args = append(args, sets(fmt.Sprintf("%s[%d]", path, i), e)...)
		}
	case map[string]any:
		if path != "" {
			path += "."
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			args = append(args, sets(path+escapeKey.Replace(key), v[key])...)
		}
	}
	return args
}

// escapeKey escapes the characters that are special in a --set path.
var escapeKey = strings.NewReplacer(`\`, `\\`, `.`, `\.`, `,`, `\,`, `=`, `\=`, `[`, `\[`)
