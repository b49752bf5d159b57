package builtins

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"go.starlark.net/starlark"
)

// TestTables: the interpreter keeps the entries of dicts and sets where they are
// looked for.
func TestTables(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[starlark.Dict](), reflect.TypeFor[starlark.Set]()} {
		if typ.NumField() != 1 || typ.Field(tableField).Name != "ht" {
			t.Fatalf("%s has other fields", typ)
		}
		table := typ.Field(tableField).Type.Field(tableField)
		block := table.Type.Elem()
		entries, next := block.Field(entriesField), block.Field(nextField)
		if table.Name != "table" || entries.Name != "entries" || next.Name != "next" || entries.Type.Len() != blockSize {
			t.Errorf("%s: the fields are %s, %s, %s", typ, table.Name, entries.Name, next.Name)
		}
		if hash := entries.Type.Elem().Field(hashField); hash.Name != "hash" || hash.Type.Kind() != reflect.Uint32 {
			t.Errorf("%s: an entry has %s", typ, hash.Name)
		}
	}
}

// numbers returns a dict whose keys are the numbers below n, each shifted.
func numbers(t *testing.T, n int, shift uint) *starlark.Dict {
	t.Helper()
	d := new(starlark.Dict)
	for i := range n {
		if err := d.SetKey(starlark.MakeInt(i).Lsh(shift), starlark.None); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func newMeter(most uint64) (*Meter, *starlark.Thread) {
	th := new(starlark.Thread)
	return NewMeter(context.Background(), th, most, 1<<20), th
}

func TestKeySteps(t *testing.T) {
	const n = 1000
	for _, test := range []struct {
		name     string
		shift    uint
		key      int
		min, max uint64 // steps
	}{
		{"numbers", 0, 7, 0, 0},
		{"equal hashes", 32, 7, n, 30 * n},
		{"equal hashes, not there", 32, -7, n, 30 * n},
		{"one bucket", 20, 7, n, 30 * n},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := numbers(t, n, test.shift)
			m, th := newMeter(1 << 40)
			if err := m.Key(d, starlark.MakeInt(test.key).Lsh(test.shift)); err != nil {
				t.Fatal(err)
			}
			if th.Steps < test.min || th.Steps > test.max {
				t.Errorf("%d steps, want %d to %d", th.Steps, test.min, test.max)
			}
		})
	}
}

// TestGrowthSteps: the key that makes a table grow costs what it takes to put all
// keys into the larger one, and another does not.
func TestGrowthSteps(t *testing.T) {
	d := numbers(t, 832, 32) // 128 buckets, 6.5 each
	m, th := newMeter(1 << 40)
	if err := m.NewKey(d, starlark.MakeInt(1)); err != nil {
		t.Fatal(err)
	}
	if want := uint64(832 * 832); th.Steps < want {
		t.Errorf("%d steps, want at least %d", th.Steps, want)
	}
	if before := Buckets(d); d.SetKey(starlark.MakeInt(1), starlark.None) != nil || Buckets(d) != 2*before {
		t.Errorf("%d buckets after %d: it did not grow", Buckets(d), before)
	}
	th.Steps = 0
	if err := m.NewKey(d, starlark.MakeInt(2)); err != nil || th.Steps > 0 {
		t.Errorf("%d steps, error %v", th.Steps, err)
	}
}

// TestCopySteps: somebody else's making of a dict costs what making it here does.
func TestCopySteps(t *testing.T) {
	for shift, crowded := range map[uint]bool{0: false, 32: true} {
		m, th := newMeter(1 << 40)
		if err := m.Copy(numbers(t, 1000, shift)); err != nil {
			t.Fatal(err)
		}
		if got := th.Steps >= 1000*1000; got != crowded {
			t.Errorf("shifted by %d: %d steps", shift, th.Steps)
		}
	}
}

func TestHiddenSteps(t *testing.T) {
	object := func(key func(i int) string) string {
		text := "[{"
		for i := range 200 {
			text += `"` + key(i) + `": 1, `
		}
		return text + `"x": {"y": [":", "{"]}}]`
	}
	same := []string{} // the lower bits of their hashes are the same
	for i := 0; len(same) < 200; i++ {
		s := starlark.MakeInt(i).String()
		if h, err := starlark.String(s).Hash(); err == nil && h&63 == 0 {
			same = append(same, s)
		}
	}
	escaped := func(s string) string { return `\u003` + s[:1] + s[1:] }
	for _, test := range []struct {
		name, text string
		hidden     bool
	}{
		{"numbers", object(func(i int) string { return starlark.MakeInt(i).String() }), false},
		{"one bucket", object(func(i int) string { return same[i] }), true},
		{"one bucket, escaped", object(func(i int) string { return escaped(same[i]) }), true},
		{"one bucket, spaced", strings.ReplaceAll(object(func(i int) string { return same[i] }), ":", strings.Repeat(" ", 200)+":"), true},
		{"no object", `["1", "2"]`, false},
		{"open", `{{{"a" : [`, false},
		{"closed", `}}}]"`, false},
		{"backslash", `"\`, false},
	} {
		m := NewMeter(context.Background(), new(starlark.Thread), 1<<40, 1<<20)
		if err := hidden(m, test.text); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		// A digit is a step.
		if got := m.Steps(); got > uint64(len(test.text)) != test.hidden {
			t.Errorf("%s: %d steps for %d bytes", test.name, got, len(test.text))
		}
	}
}

func TestChargeAsks(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	m := NewMeter(ctx, new(starlark.Thread), 1<<40, 1<<20)
	cancel()
	var err error
	for i := 0; i < 2*askSteps && err == nil; i++ {
		err = m.Charge(1)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestLooksAsk: what looks at many values before it charges ends with the context.
func TestLooksAsk(t *testing.T) {
	var shared starlark.Value = starlark.Tuple{starlark.None}
	for range 40 {
		shared = starlark.Tuple{shared, shared}
	}
	wide := starlark.Tuple(make([]starlark.Value, 2*askSteps))
	for i := range wide {
		wide[i] = starlark.None
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := NewMeter(ctx, new(starlark.Thread), 1<<40, 1<<20)
	cancel()
	for name, err := range map[string]error{
		"hash": m.Hash(shared), "walk": m.Walk(shared), "text": m.Text(shared), "comparison": m.Compare(wide, wide),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
