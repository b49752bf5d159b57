// Command web serves the shop's page, made of what the API says.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "web:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, env func(string) string) error {
	for _, name := range []string{"API_URL", "API_KEY"} {
		if env(name) == "" {
			return fmt.Errorf("%s is not set", name)
		}
	}
	api := &client{url: env("API_URL"), key: env("API_KEY"), http: &http.Client{Timeout: 5 * time.Second}}
	server := &http.Server{Addr: ":8080", Handler: handler(api, env("TITLE")), ReadHeaderTimeout: 5 * time.Second}
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
