package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Values are passed to a chart and override its own values. They contain strings,
// booleans, numbers, nil, and []any and map[string]any of these.
//
// In JSON, numbers keep both value and kind (SPEC D9), because a template renders the
// integer 1000000 and the float 1000000.0 differently: a float has a decimal
// point or an exponent, an integer has neither. A float is decoded as a float64, and an
// integer as an int64, a uint64 or a [json.Number], the first of these that can hold it.
type Values map[string]any

// MarshalJSON encodes v as encoding/json does, except that whole floats have a decimal
// point: 1.0 instead of 1.
func (v Values) MarshalJSON() ([]byte, error) {
	if v == nil {
		return []byte("null"), nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the encoder that v is part of decides
	err := enc.Encode(withPoints(map[string]any(v)))
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// withPoints returns a copy of v in which whole floats are replaced by their encoding.
func withPoints(v any) any {
	switch v := v.(type) {
	case float64:
		if isWhole(v) {
			return json.Number(strconv.FormatFloat(v, 'f', 1, 64))
		}
	case float32:
		if isWhole(float64(v)) {
			return json.Number(strconv.FormatFloat(float64(v), 'f', 1, 32))
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = withPoints(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = withPoints(e)
		}
		return out
	}
	return v
}

// isWhole reports whether encoding/json writes f like an integer. It writes larger
// numbers with an exponent.
func isWhole(f float64) bool { return f == math.Trunc(f) && math.Abs(f) < 1e21 }

// UnmarshalJSON decodes an object. A number that a float64 cannot hold is an error.
func (v *Values) UnmarshalJSON(data []byte) error {
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		return err
	}
	for k, e := range m {
		n, err := number(e)
		if err != nil {
			return fmt.Errorf("values: %s: %w", k, err)
		}
		m[k] = n
	}
	*v = m
	return nil
}

// number returns v with its numbers converted to the types that [Values] describes. Maps
// and lists are changed in place.
func number(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			return v.Float64()
		}
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return n, nil
		}
	case map[string]any:
		for k, e := range v {
			if v[k], err = number(e); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, e := range v {
			if v[i], err = number(e); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}
