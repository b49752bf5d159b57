package modules

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pipelinefile/pipe/internal/lock"
)

// A collector gathers the files of one module, within limits.
type collector struct {
	files map[string][]byte
	count int
	total int64
}

// admit returns an error if the name of a file is invalid, or if a file of this
// size exceeds a limit.
func (c *collector) admit(name string, size int64) error {
	odd := func(r rune) bool { return unicode.IsControl(r) || r == '\\' }
	if !fs.ValidPath(name) || !utf8.ValidString(name) || strings.ContainsFunc(name, odd) {
		return fmt.Errorf("the module has a file with the invalid name %q", name)
	}
	c.count++
	c.total += size
	switch {
	case size > lock.MostSize:
		return fmt.Errorf("%s is larger than %d bytes", name, lock.MostSize)
	case c.count > lock.MostFiles:
		return fmt.Errorf("the module has more than %d files", lock.MostFiles)
	case c.total > lock.MostTotal:
		return fmt.Errorf("the module's files are larger than %d bytes in total", lock.MostTotal)
	}
	return nil
}

func (c *collector) put(name string, data []byte) {
	if c.files == nil {
		c.files = map[string][]byte{}
	}
	c.files[name] = data
}

func (c *collector) result() (map[string][]byte, error) {
	if len(c.files) == 0 {
		return nil, errors.New("the module has no .star file")
	}
	return c.files, nil
}
