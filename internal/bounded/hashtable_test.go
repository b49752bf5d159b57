package bounded

import (
	"context"
	"reflect"
	"testing"

	"go.starlark.net/starlark"
)

// TestTables checks that the fields of the interpreter's hash tables have the indices
// that hashtable.go uses.
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

// TestGrowthSteps checks that a key that makes a table grow costs the insertion of all
// keys into the larger table, and that other keys do not.
func TestGrowthSteps(t *testing.T) {
	d := numbers(t, 832, 32) // 128 buckets with 6.5 keys each
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

// TestCopySteps checks that a dict made by the interpreter costs the same as one made
// here.
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
