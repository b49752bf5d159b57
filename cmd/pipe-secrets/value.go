package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// valueAt returns the value of a path of keys. Its errors contain keys, but no value.
func valueAt(values map[string]any, keys []string) (string, error) {
	for i, key := range keys {
		value, ok := values[key]
		if !ok {
			return "", fmt.Errorf("there is no key %q; the keys are %s", strings.Join(keys[:i+1], "/"), keysOf(values))
		}
		if i == len(keys)-1 {
			text, err := scalar(value)
			if err != nil {
				return "", fmt.Errorf("the value of key %q %w", strings.Join(keys, "/"), err)
			}
			return text, nil
		}
		inner, ok := value.(map[string]any)
		if !ok {
			return "", fmt.Errorf("the value of key %q is not a map, so it has no key %q", strings.Join(keys[:i+1], "/"), keys[i+1])
		}
		values = inner
	}
	return "", errors.New("there is no key")
}

func keysOf(values map[string]any) string {
	if len(values) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(values)), ", ")
}

// scalar returns the text of a value that has exactly one.
func scalar(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", errors.New("is null")
	case string:
		if v == "" {
			return "", errors.New("is empty")
		}
		return v, nil
	case bool, int, int64, uint64, json.Number:
		return fmt.Sprint(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case map[string]any:
		return "", fmt.Errorf("is a map, with the keys %s", keysOf(v))
	}
	return "", errors.New("is neither a string nor a number")
}
