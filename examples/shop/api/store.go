package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
)

// store keeps goods in PostgreSQL and visits in Redis.
type store struct {
	db    *pgxpool.Pool
	cache *redis.Client
}

var _ shop = (*store)(nil)

func (s *store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := s.db.Ping(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if err := s.cache.Ping(ctx).Err(); err != nil {
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
	return s.cache.Incr(ctx, "visits").Result()
}
