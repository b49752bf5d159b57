package modules

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// bounds are the limits of fetching one module.
type bounds struct {
	time time.Duration // default 10 minutes
	pack int64         // size of a fetched repository, in bytes; default 512 MiB
}

// orDefault returns b with unset fields set to their defaults.
func (b bounds) orDefault() bounds {
	if b.time == 0 {
		b.time = 10 * time.Minute
	}
	if b.pack == 0 {
		b.pack = 512 << 20
	}
	return b
}

// within returns a context that is cancelled when fetching takes too long.
func (b bounds) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, b.time, fmt.Errorf("timed out after %s", b.time))
}

// watch returns a context that is cancelled soon after the directory becomes too
// large. It does not notice short peaks, so the caller must call check at the end.
func (b bounds) watch(ctx context.Context, dir string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := b.check(dir); err != nil {
				cancel(err)
			}
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-ended
	}
}

// check returns an error if the directory is too large.
func (b bounds) check(dir string) error {
	var n int64
	// Ignore errors: git creates and deletes files during the walk.
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	if n > b.pack {
		return fmt.Errorf("the repository is larger than %d bytes", b.pack)
	}
	return nil
}
