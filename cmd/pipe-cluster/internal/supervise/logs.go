package supervise

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"time"
)

// maxLog is how large a log may get. Its older half is kept beside it, so a log takes twice that at most.
const maxLog = 16 << 20

// tend keeps the files of the cluster in order.
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

// bound moves what is in the file to FILE.1 if it is too much. The file itself stays, because those who write to it
// hold it open; they append, so it may be emptied under them.
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
