package plan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
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

// value writes a value; it writes the elements of lists concurrently.
func (l *layout) value(v reflect.Value) error {
	if v.Kind() != reflect.Slice || v.Len() == 0 {
		return l.encoder().Encode(v.Interface())
	}
	l.open('[')
	parts := make([]layout, max(1, min(runtime.GOMAXPROCS(0), v.Len()/partLen)))
	errs := make([]error, len(parts))
	for from := 0; from < v.Len(); {
		var wg sync.WaitGroup
		for n := range parts {
			first, end := from, min(from+partLen, v.Len())
			parts[n] = layout{parts[n].out[:0], l.depth}
			wg.Go(func() { errs[n] = parts[n].elements(v, first, end) })
			from = end
		}
		wg.Wait()
		for _, p := range parts {
			if len(l.out)+len(p.out) > cap(l.out) { // the other elements are about as long
				l.out = append(make([]byte, 0, len(l.out)+len(p.out)*(v.Len()/partLen+1)*17/16), l.out...)
			}
			l.out = append(l.out, p.out...)
		}
		if err := cmp.Or(errs...); err != nil {
			return err
		}
	}
	l.close(']')
	return nil
}

// partLen is the number of elements that one goroutine encodes into its buffer before they
// are appended to the others. The buffers stay small enough for the caches of the CPU.
const partLen = 256

// elements writes the elements of the list v from index first up to index end.
func (l *layout) elements(v reflect.Value, first, end int) error {
	enc := l.encoder()
	for i := first; i < end; i++ {
		l.next(i == 0)
		if err := enc.Encode(v.Index(i).Addr().Interface()); err != nil {
			return err
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
	const line = "\n                                "
	l.out = append(l.out, line[:min(len(line), 1+2*l.depth)]...)
	for range l.depth - len(line)/2 {
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
