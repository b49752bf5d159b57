package builtins

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

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
		out := make(map[string]any, len(v))
		for k, e := range v {
			key, err := keyText(k)
			if err != nil {
				return nil, err
			}
			if _, twice := out[key]; twice {
				return nil, fmt.Errorf("the key %s is there twice, as a string and as another value", key)
			}
			if out[key], err = jsonable(e); err != nil {
				return nil, err
			}
		}
		return out, nil
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
