package builtins

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v2"
)

// yamlJSON converts a YAML document to JSON as Kubernetes and Helm do, with keys that are
// numbers or booleans as strings. Two keys that are the same string are an error: which of
// them won would be random. With strict, so are keys that are written twice.
func yamlJSON(data []byte, strict bool) ([]byte, error) {
	unmarshal := yaml.Unmarshal
	if strict {
		unmarshal = yaml.UnmarshalStrict
	}
	var v any
	if err := unmarshal(data, &v); err != nil {
		return nil, err
	}
	v, err := jsonable(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// jsonable returns a decoded YAML value with strings as the keys of its mappings.
func jsonable(v any) (any, error) {
	switch v := v.(type) {
	case map[any]any:
		return jsonObjectOf(v)
	case []any:
		for i, e := range v {
			e, err := jsonable(e)
			if err != nil {
				return nil, err
			}
			v[i] = e
		}
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, fmt.Errorf("%v is not a number", v)
		}
	}
	return v, nil
}

// jsonObjectOf is jsonable for a mapping. Of several errors it returns always the same one.
func jsonObjectOf(v map[any]any) (map[string]any, error) {
	out := make(map[string]any, len(v))
	var wrong []error
	for k, e := range v {
		key, err := keyText(k)
		if _, twice := out[key]; err == nil && twice {
			err = fmt.Errorf("the key %s is there twice, as a string and as another value", key)
		}
		value, below := jsonable(e)
		for _, err := range []error{err, below} {
			if err != nil {
				wrong = append(wrong, err)
			}
		}
		out[key] = value
	}
	if len(wrong) > 0 {
		return nil, slices.MinFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	}
	return out, nil
}

// keyText returns the string that Kubernetes and Helm make of a key.
func keyText(k any) (string, error) {
	switch k := k.(type) {
	case string:
		return k, nil
	case int, int64, bool:
		return fmt.Sprint(k), nil
	case float64:
		if math.IsInf(k, 0) || math.IsNaN(k) {
			return "", fmt.Errorf("the key %v is not a number", k)
		}
		return strconv.FormatFloat(k, 'g', -1, 32), nil
	case nil:
		return "", errors.New("a key is null")
	}
	return "", fmt.Errorf("the key %v is neither a string nor a number", k)
}
