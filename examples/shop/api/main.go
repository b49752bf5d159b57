// Command api serves the shop's goods from PostgreSQL, and counts visits in Redis.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, env func(string) string) error {
	for _, name := range []string{"DATABASE_URL", "REDIS_ADDRESS", "API_KEY"} {
		if env(name) == "" {
			return fmt.Errorf("%s is not set", name)
		}
	}
	db, err := pgxpool.New(ctx, env("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer db.Close()
	cache := newCache(env("REDIS_ADDRESS"))
	defer cache.Close() //nolint:errcheck // the process ends

	server := &http.Server{Addr: ":8080", Handler: handler(&store{db, cache}, env("API_KEY")), ReadHeaderTimeout: 5 * time.Second}
	slog.Info("listening", "address", server.Addr)
	return serve(ctx, server)
}

// serve serves until it is told to end, then lets requests under way end.
func serve(ctx context.Context, server *http.Server) error {
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return err
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
