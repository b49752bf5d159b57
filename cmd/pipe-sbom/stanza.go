package main

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
)

// maxLine is the length of the lines of a database that are looked at, in bytes: longer ones are lists that
// nobody asks for.
const maxLine = 64 << 10

// stanzas reads text of stanzas that are separated by empty lines, of lines "key: value", and calls each with those
// of the keys of every stanza. Continuation lines are skipped.
func stanzas(r io.Reader, keys []string, each func(map[string]string) error) error {
	in := bufio.NewReaderSize(r, maxLine)
	fields, empty := map[string]string{}, true
	end := func() error {
		if empty {
			return nil
		}
		err := each(fields)
		clear(fields)
		empty = true
		return err
	}
	for {
		line, err := in.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case err != nil && !long && !errors.Is(err, io.EOF):
			return err
		case long:
			empty = false
		case text == "":
			if len(line) > 0 {
				if err := end(); err != nil {
					return err
				}
			}
		default:
			empty = false
			key, value, _ := strings.Cut(text, ":")
			if _, known := fields[key]; !known && slices.Contains(keys, key) {
				fields[key] = strings.TrimSpace(value)
			}
		}
		for long { // the rest of the line
			_, err = in.ReadSlice('\n')
			long = errors.Is(err, bufio.ErrBufferFull)
		}
		if errors.Is(err, io.EOF) {
			return end()
		}
		if err != nil {
			return err
		}
	}
}
