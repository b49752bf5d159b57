package builtins

import (
	"encoding/json"
	"fmt"

	starjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/pipelinefile/pipe/internal/bounded"
)

// shallow returns an error for a document whose brackets are nested so deeply that a
// recursive decoder would exhaust the stack: Go cannot recover from that.
func shallow[T string | []byte](data T) error {
	depth := 0
	for i := range len(data) {
		switch data[i] {
		case '[', '{':
			if depth++; depth > bounded.MaxDepth {
				return fmt.Errorf("it is nested deeper than %d", bounded.MaxDepth)
			}
		case ']', '}':
			depth--
		}
	}
	return nil
}

// decodable is shallow for JSON, and charges for an upper bound of the number of values.
func decodable[T string | []byte](m *bounded.Meter, data T) error {
	if err := shallow(data); err != nil {
		return err
	}
	n := len(data)
	for i := range len(data) {
		switch data[i] {
		case '[':
			n += bounded.BoxSize
		case '{':
			n += bounded.DictSize
		case ',':
			n += bounded.SlotSize
		case ':':
			n += bounded.EntrySize / 2
		}
	}
	if err := m.Charge(uint64(n)); err != nil {
		return err
	}
	return hidden(m, data)
}

// hidden charges for what a JSON decoder takes beyond reading the document: for keys that
// are chosen to collide in a dict, and for long numbers.
func hidden[T string | []byte](m *bounded.Meter, data T) error {
	var steps uint64
	type object struct{ first, start, end int } // index of the first key; offset of the text before
	objects := []object{{}}
	var hashes []uint32
	for i := 0; i < len(data); i++ {
		top := &objects[len(objects)-1]
		switch data[i] {
		case '{', '[':
			objects = append(objects, object{first: len(hashes)})
		case '}', ']':
			if len(objects) > 1 {
				steps += bounded.Crowding(hashes[top.first:])
				hashes = hashes[:top.first]
				objects = objects[:len(objects)-1]
			}
		case '"':
			top.start = i
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
			top.end = min(i+1, len(data))
		case ':':
			hashes = append(hashes, keyHash(data[top.start:top.end], len(hashes)))
		case '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			start := i
			for i+1 < len(data) && data[i+1] >= '0' && data[i+1] <= '9' {
				i++
			}
			if err := m.Digits(i + 1 - start); err != nil {
				return err
			}
		}
	}
	return m.Charge(steps + bounded.Crowding(hashes))
}

// keyHash returns the hash of a quoted string that is the nth key. The hashes of long
// strings cannot be chosen.
func keyHash[T string | []byte](quoted T, n int) uint32 {
	var key string
	if len(quoted) > 100 || json.Unmarshal([]byte(quoted), &key) != nil || len(key) >= 12 {
		return uint32(n) * 2654435769
	}
	h, _ := starlark.String(key).Hash() // a string always has a hash
	return h
}

// jsonModule is Starlark's json module with limits.
func (s *Session) jsonModule() *starlarkstruct.Module {
	members := starlark.StringDict{}
	guard := func(name string, check func(v starlark.Value, args []starlark.Value) (int, error)) {
		inner := starjson.Module.Members[name].(*starlark.Builtin)
		members[name] = starlark.NewBuiltin(inner.Name(), func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			n := 0
			if all := given(args, kwargs); len(all) > 0 {
				var err error
				if n, err = check(all[0], all[1:]); err != nil {
					return nil, fmt.Errorf("%s: %w", inner.Name(), err)
				}
			}
			return bounded.Await(s.Meter, n, func() (starlark.Value, error) { return inner.CallInternal(th, args, kwargs) })
		})
	}
	guard("encode", func(v starlark.Value, _ []starlark.Value) (int, error) {
		n, err := s.Meter.TextSize(v)
		if err != nil {
			return n, err
		}
		return n, s.Meter.Make(n)
	})
	guard("decode", func(v starlark.Value, _ []starlark.Value) (int, error) {
		text, _ := v.(starlark.String)
		return len(text), decodable(s.Meter, string(text))
	})
	guard("indent", func(v starlark.Value, more []starlark.Value) (int, error) {
		text, _ := v.(starlark.String)
		if err := shallow(string(text)); err != nil {
			return 0, err
		}
		n := indented(string(text), more)
		return n, s.Meter.Make(n)
	})
	encode, indent := members["encode"], members["indent"]
	name := starjson.Module.Members["encode_indent"].(*starlark.Builtin).Name()
	members["encode_indent"] = starlark.NewBuiltin(name, func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		text, err := encode.(*starlark.Builtin).CallInternal(th, args, nil)
		if err != nil {
			return nil, err
		}
		return indent.(*starlark.Builtin).CallInternal(th, starlark.Tuple{text}, kwargs)
	})
	return &starlarkstruct.Module{Name: "json", Members: members}
}

// given returns all arguments, starting with the one that the function processes.
func given(args starlark.Tuple, kwargs []starlark.Tuple) []starlark.Value {
	out := append([]starlark.Value(nil), args...)
	for _, kv := range kwargs {
		out = append(out, kv[1])
		if kv[0] == starlark.String("x") || kv[0] == starlark.String("str") {
			out[0], out[len(out)-1] = out[len(out)-1], out[0]
		}
	}
	return out
}

// indented returns an upper bound of the length of text if it is indented: with one of
// more before each line and another for each level.
func indented(text string, more []starlark.Value) int {
	prefix, indent := 0, 1
	for _, v := range more {
		if s, ok := v.(starlark.String); ok {
			prefix, indent = max(prefix, len(s)), max(indent, len(s))
		}
	}
	n, depth := len(text), 0
	for i := range len(text) {
		switch text[i] {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',', ':':
		default:
			continue
		}
		if n += 2 + prefix + max(depth, 0)*indent; n > 1<<40 {
			return n
		}
	}
	return n
}
