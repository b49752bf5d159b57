package background

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
)

const (
	maxLog    = 8 << 20 // bytes; as much again is kept in NAME.log.old
	tailBytes = 8 << 10
	tailLines = 12
)

// rotate rotates a log that has grown too long. The process keeps the file open for
// appending, so the file is copied and truncated.
func rotate(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() <= maxLog {
		return nil
	}
	if err != nil {
		return err
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	// Only the end, if the process wrote much more than expected.
	if _, err := from.Seek(max(0, info.Size()-maxLog), io.SeekStart); err != nil {
		return err
	}
	to, err := os.OpenFile(path+".old", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.LimitReader(from, maxLog))
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	return os.Truncate(path, 0)
}

// tail returns the last lines that were written at or after from.
func tail(path string, from int64) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil {
		from = max(from, info.Size()-tailBytes)
	}
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return ""
	}
	data, err := io.ReadAll(io.LimitReader(file, tailBytes))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
