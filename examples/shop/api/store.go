package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// store keeps goods in PostgreSQL and visits in Redis.
type store struct {
	db    *pgxpool.Pool
	cache *redis.Pool
}

var _ shop = (*store)(nil)

func (s *store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := s.db.Ping(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if _, err := s.ask(ctx, "PING"); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	return nil
}

func (s *store) Goods(ctx context.Context) ([]Good, error) {
	rows, err := s.db.Query(ctx, "select name, description, cents, stock from goods order by name")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Good])
}

func (s *store) Visit(ctx context.Context) (int64, error) {
	return redis.Int64(s.ask(ctx, "INCR", "visits"))
}

// ask sends one command to Redis.
func (s *store) ask(ctx context.Context, command string, args ...any) (any, error) {
	c, err := s.cache.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close() //nolint:errcheck // it goes back to the pool
	return redis.DoContext(c, ctx, command, args...)
}

// newCache connects when it is first asked. A connection that was idle for a moment is tried before it is used: Redis may
// have been restarted.
func newCache(address string) *redis.Pool {
	return &redis.Pool{
		MaxIdle:     4,
		IdleTimeout: time.Minute,
		DialContext: func(ctx context.Context) (redis.Conn, error) { return redis.DialContext(ctx, "tcp", address) },
		TestOnBorrowContext: func(ctx context.Context, c redis.Conn, used time.Time) error {
			if time.Since(used) < time.Second {
				return nil
			}
			_, err := redis.DoContext(c, ctx, "PING")
			return err
		},
	}
}
