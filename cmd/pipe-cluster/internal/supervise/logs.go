package supervise

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"time"
)

// maxLog is the maximum size of a log. Its older part is kept in a second file, so a log needs at most
// twice that.
const maxLog = 16 << 20

// tend repairs the state file and limits the sizes of the logs, until the context ends.
func (s *supervisor) tend(ctx context.Context) {
	for {
		s.mendState(ctx)
		logs, _ := filepath.Glob(s.dir.Log("*"))
		for _, l := range logs {
			if err := bound(l, maxLog); err != nil {
				s.logf("shorten %s: %v", l, err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(30 * time.Second):
		}
	}
}

// bound moves the content of a file that is too large to FILE.1. The file itself is kept, because its
// writers have it open; they append, so it can be truncated meanwhile.
func bound(file string, size int64) error {
	info, err := os.Stat(file)
	if err != nil || info.Size() <= size {
		return err
	}
	from, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(file+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, io.LimitReader(from, 2*size)); err != nil {
		to.Close()
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	return from.Truncate(0)
}
