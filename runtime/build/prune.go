package build

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/pipelinefile/pipe/internal/redact"
)

// A CacheLimit says what is kept of the cache of a builder.
type CacheLimit struct {
	Used  time.Duration // what was used within this time
	Bytes int64         // this amount of the rest, of what was used last; 0: nothing
}

// A Cache is the cache of a builder.
type Cache struct {
	Builder string `json:"builder"` // its address; empty: the embedded one
	Size    int64  `json:"size"`    // in bytes
	// Removed is the size in bytes of what was removed or, in a result of [Builder.Caches], of what can
	// be removed at most: what builds need meanwhile is kept.
	Removed int64 `json:"removed"`
	Records int   `json:"records"` // the number of steps, contexts and mounts that were removed
}

// Caches returns the caches of the builders, and what PruneCaches would remove.
func (b *Builder) Caches(ctx context.Context, keep CacheLimit) ([]Cache, error) {
	return b.eachCache(ctx, func(c *connection, cache *Cache) error {
		all, err := c.DiskUsage(quiet(ctx))
		if err != nil {
			return err
		}
		before := time.Now().Add(-keep.Used)
		for _, u := range all {
			cache.Size += u.Size
			last := u.CreatedAt
			if u.LastUsedAt != nil {
				last = *u.LastUsedAt
			}
			if u.InUse || u.Shared || u.RecordType == client.UsageRecordTypeInternal || u.RecordType == client.UsageRecordTypeFrontend || last.After(before) {
				continue
			}
			cache.Removed += u.Size
			cache.Records++
		}
		if cache.Removed = min(cache.Removed, cache.Size-keep.Bytes); cache.Removed <= 0 {
			cache.Removed, cache.Records = 0, 0
		}
		return nil
	})
}

// PruneCaches removes the caches of the builders except for what is kept. Builds can run meanwhile.
// It returns what was removed, also with an error, which joins those of the builders that have failed.
func (b *Builder) PruneCaches(ctx context.Context, keep CacheLimit) ([]Cache, error) {
	return b.eachCache(ctx, func(c *connection, cache *Cache) error {
		removed, done := make(chan client.UsageInfo), make(chan struct{})
		go func() {
			defer close(done)
			for u := range removed {
				cache.Removed += u.Size
				cache.Records++
			}
		}()
		err := c.Prune(quiet(ctx), removed, client.WithKeepOpt(keep.Used, keep.Bytes, 0, 0))
		close(removed)
		<-done
		if err != nil {
			return err
		}
		left, err := c.DiskUsage(quiet(ctx))
		for _, u := range left {
			cache.Size += u.Size
		}
		cache.Size += cache.Removed // as it was before
		return err
	})
}

// eachCache calls do for each builder, one after the other.
func (b *Builder) eachCache(ctx context.Context, do func(*connection, *Cache) error) ([]Cache, error) {
	var errs []error
	absent, err := b.pool.find(ctx)
	if err != nil {
		return nil, err
	}
	if absent != nil {
		errs = append(errs, absent)
	}
	b.pool.mu.Lock()
	nodes := b.pool.nodes
	b.pool.mu.Unlock()
	all := []Cache{}
	for _, n := range nodes {
		cache := Cache{Builder: redact.URLs(n.addr)}
		c, err := n.connect(ctx)
		if err == nil {
			if err = do(c, &cache); err != nil {
				err = fmt.Errorf("the cache of the builder %s: %w", cache.Builder, plain(err))
			}
			all = append(all, cache)
		}
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}
