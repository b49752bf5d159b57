package plan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// JSON returns p as it is written to files and shown by "-o json": indented,
// with a trailing newline, the same bytes for the same plan.
//
// The output is that of [json.Encoder] with an indent of two spaces. The encoder
// holds the whole output twice to indent it; JSON indents each list element
// separately, and the parts of long lists concurrently.
func (p *Plan) JSON() ([]byte, error) {
	var l layout
	plan := reflect.ValueOf(p).Elem()
	l.open('{')
	first := true
	for i := range plan.NumField() {
		v := plan.Field(i)
		name, option, _ := strings.Cut(plan.Type().Field(i).Tag.Get("json"), ",")
		if option == "omitempty" && v.Len() == 0 {
			continue
		}
		l.next(first)
		first = false
		l.out = append(l.out, `"`+name+`": `...)
		if err := l.value(v); err != nil {
			return nil, fmt.Errorf("plan %s: %w", p.Pipeline.Name, err)
		}
	}
	l.close('}')
	return append(l.out, '\n'), nil
}

// A layout indents the output of encoding/json, value by value, as [json.Indent] does
// with two spaces.
type layout struct {
	out   []byte
	depth int
}

// value writes a value; it writes lists element by element.
func (l *layout) value(v reflect.Value) error {
	if v.Kind() != reflect.Slice || v.Len() == 0 {
		return l.encoder().Encode(v.Interface())
	}
	l.open('[')
	parts := make([]layout, max(1, min(runtime.GOMAXPROCS(0), v.Len()/minPart)))
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for n := range parts {
		from, to, room := n*v.Len()/len(parts), (n+1)*v.Len()/len(parts), v.Len()/len(parts)
		parts[n].depth = l.depth
		if n == 0 { // the others are appended to it
			parts[n], room = *l, v.Len()
		}
		wg.Go(func() { errs[n] = parts[n].elements(v, from, to, room) })
	}
	wg.Wait()
	l.out = parts[0].out
	for _, p := range parts[1:] {
		l.out = append(l.out, p.out...)
	}
	l.close(']')
	return cmp.Or(errs...)
}

// minPart is the least number of elements that are worth a goroutine.
const minPart = 256

// elements writes the elements of the list v from index from up to index to, with room for
// that many elements.
func (l *layout) elements(v reflect.Value, from, to, room int) error {
	enc := l.encoder()
	for i := from; i < to; i++ {
		before := len(l.out)
		l.next(i == 0)
		if err := enc.Encode(v.Index(i).Addr().Interface()); err != nil {
			return err
		}
		if i == from { // the others are about as long
			l.out = slices.Grow(l.out, (len(l.out)-before)*room*9/8)
		}
	}
	return nil
}

func (l *layout) encoder() *json.Encoder {
	enc := json.NewEncoder(l)
	enc.SetEscapeHTML(false)
	return enc
}

func (l *layout) open(bracket byte) {
	l.out = append(l.out, bracket)
	l.depth++
}

// next starts the next element of a list or an object.
func (l *layout) next(first bool) {
	if !first {
		l.out = append(l.out, ',')
	}
	l.line()
}

func (l *layout) close(bracket byte) {
	l.depth--
	l.line()
	l.out = append(l.out, bracket)
}

func (l *layout) line() {
	l.out = append(l.out, '\n')
	for range l.depth {
		l.out = append(l.out, "  "...)
	}
}

// Write lays out one value.
func (l *layout) Write(compact []byte) (int, error) {
	for i := 0; i < len(compact); i++ {
		switch c := compact[i]; c {
		case '{', '[':
			if next := compact[i+1]; next == '}' || next == ']' {
				i++
				l.out = append(l.out, c, next)
				continue
			}
			l.open(c)
			l.line()
		case '}', ']':
			l.close(c)
		case ',':
			l.next(false)
		case ':':
			l.out = append(l.out, ": "...)
		case '"':
			end := textEnd(compact, i)
			l.out = append(l.out, compact[i:end]...)
			i = end - 1
		case '\n': // after the value
		default:
			l.out = append(l.out, c)
		}
	}
	return len(compact), nil
}

// textEnd returns the index after the closing quote of the string that starts at i.
func textEnd(compact []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(compact[i:], '"')
		backslashes := 0
		for compact[i-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i + 1
		}
	}
}
