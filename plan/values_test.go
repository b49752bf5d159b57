package plan_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
)

// TestValuesJSON: numbers keep value and kind, wherever they are (SPEC D9).
func TestValuesJSON(t *testing.T) {
	for name, test := range map[string]struct {
		value, decoded any // decoded is nil if it is as value
		json           string
	}{
		"integer":            {int64(20190612073634), nil, `20190612073634`},
		"round integer":      {int64(1000000), nil, `1000000`},
		"beyond float64":     {int64(1<<53 + 1), nil, `9007199254740993`},
		"smallest":           {int64(math.MinInt64), nil, `-9223372036854775808`},
		"unsigned":           {uint64(math.MaxUint64), nil, `18446744073709551615`},
		"beyond 64 bits":     {json.Number("123456789012345678901234567890"), nil, `123456789012345678901234567890`},
		"an int of Go":       {7, int64(7), `7`},
		"fraction":           {1.5, nil, `1.5`},
		"whole float":        {1.0, nil, `1.0`},
		"round float":        {1e6, nil, `1000000.0`},
		"negative zero":      {math.Copysign(0, -1), nil, `-0.0`},
		"large float":        {1e21, nil, `1e+21`},
		"just below":         {1e20, nil, `100000000000000000000.0`},
		"small float":        {1e-7, nil, `1e-7`},
		"largest float":      {math.MaxFloat64, nil, `1.7976931348623157e+308`},
		"whole float32":      {float32(2), 2.0, `2.0`},
		"text of a number":   {"1000000", nil, `"1000000"`},
		"markup":             {"<a&b>", nil, `"<a&b>"`},
		"nothing":            {nil, nil, `null`},
		"empty":              {map[string]any{"list": []any{}, "dict": map[string]any{}}, nil, `{"dict":{},"list":[]}`},
		"nested in a list":   {[]any{int64(1<<53 + 1), 1.0, []any{1e6}}, nil, `[9007199254740993,1.0,[1000000.0]]`},
		"nested in a dict":   {map[string]any{"a": map[string]any{"b": int64(1e6), "c": 1e6}}, nil, `{"a":{"b":1000000,"c":1000000.0}}`},
		"nested in a mix":    {[]any{map[string]any{"a": []any{int64(1), 2.0}}}, nil, `[{"a":[1,2.0]}]`},
		"a float32 fraction": {float32(0.1), 0.1, `0.1`},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan.Plan{Version: plan.Version, Services: []plan.Service{{Name: "a", Values: plan.Values{"x": test.value}}}}
			indented, err := p.JSON()
			if err != nil {
				t.Fatal(err)
			}
			compact, err := p.Services[0].Values.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := string(compact), `{"x":`+test.json+`}`; got != want {
				t.Errorf("MarshalJSON(%v) = %s, want %s", test.value, got, want)
			}
			want := test.decoded
			if want == nil {
				want = test.value
			}
			var again plan.Plan
			if err := json.Unmarshal(indented, &again); err != nil {
				t.Fatal(err)
			}
			if got := again.Services[0].Values["x"]; !reflect.DeepEqual(got, want) {
				t.Errorf("%s decoded = %T %v, want %T %v", test.json, got, got, want, want)
			}
			before, _ := p.Digest()
			if after, err := again.Digest(); err != nil || after != before {
				t.Errorf("Digest() after decoding = %s, %v, want %s", after, err, before)
			}
		})
	}
}

// TestValuesAreNotChanged: encoding leaves the values as they are.
func TestValuesAreNotChanged(t *testing.T) {
	values := func() plan.Values {
		return plan.Values{"a": 1.0, "b": []any{2.0, map[string]any{"c": 3.0}}}
	}
	v := values()
	if _, err := json.Marshal(v); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(values(), v); diff != "" {
		t.Errorf("after Marshal: -want +got\n%s", diff)
	}
}

func TestValuesThatAreNone(t *testing.T) {
	if data, err := json.Marshal(plan.Values(nil)); err != nil || string(data) != "null" {
		t.Errorf("Marshal(nil) = %s, %v", data, err)
	}
	var v plan.Values
	if err := json.Unmarshal([]byte("null"), &v); err != nil || v != nil {
		t.Errorf("Unmarshal(null) = %v, %v", v, err)
	}
	for _, text := range []string{`[1]`, `7`, `{"a": [{"b": 1e999}]}`} {
		if err := json.Unmarshal([]byte(text), &v); err == nil {
			t.Errorf("Unmarshal(%s) = %v, want an error", text, v)
		}
	}
}

// TestRandomValues: what is encoded is what is decoded (SPEC D9).
func TestRandomValues(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := plan.Values{"a": randomValue(r, 0), "b": randomValue(r, 0)}
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got plan.Values
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("Unmarshal(%s): %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: -want +got\n%s", data, cmp.Diff(want, got))
		}
	}
}

// randomValue returns one of the values that an evaluation makes.
func randomValue(r *rand.Rand, depth int) any {
	kinds := 8
	if depth > 3 {
		kinds = 6
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return string([]rune{rune(r.IntN(0xd000)), '1', 'e', '<', rune(r.IntN(128))})
	case 3:
		return int64(r.Uint64()) >> r.IntN(64)
	case 4:
		return float64(int64(r.Uint64()) >> r.IntN(64)) // whole
	case 5:
		for {
			if f := math.Float64frombits(r.Uint64()); f-f == 0 {
				return f
			}
		}
	case 6:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = randomValue(r, depth+1)
		}
		return list
	}
	dict := map[string]any{}
	for range r.IntN(4) {
		dict[string(rune('a'+r.IntN(26)))] = randomValue(r, depth+1)
	}
	return dict
}
