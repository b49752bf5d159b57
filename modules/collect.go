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

// admit returns an error if a file of that size exceeds a limit.
func (c *collector) admit(name string, size int64) error {
	odd := func(r rune) bool { return unicode.IsControl(r) || r == '\\' }
	if !fs.ValidPath(name) || !utf8.ValidString(name) || strings.ContainsFunc(name, odd) {
		return fmt.Errorf("it has a file with the name %q, which leads elsewhere or is not a string", name)
	}
	c.count++
	c.total += size
	switch {
	case size > lock.MostSize:
		return fmt.Errorf("%s is larger than %d bytes", name, lock.MostSize)
	case c.count > lock.MostFiles:
		return fmt.Errorf("it has more than %d files", lock.MostFiles)
	case c.total > lock.MostTotal:
		return fmt.Errorf("its files are larger than %d bytes together", lock.MostTotal)
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
		return nil, errors.New("it has no file that ends in .star")
	}
	return c.files, nil
}
