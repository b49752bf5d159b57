// Command migrate brings the shop's database to the newest schema. It is run at every deploy and does what is missing.
package main

import (
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"syscall"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/*.sql
var steps embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv("DATABASE_URL"), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "migrate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url string, out io.Writer) error {
	if url == "" {
		return fmt.Errorf("DATABASE_URL is not set")
	}
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the process ends
	return migrate(ctx, db, steps, out)
}

// lockID keeps two migrations of one database apart. Any number will do, as long as it is the same.
const lockID = 7366

// migrate runs the files of the folder sql that have not been run, in the order of their names, all or none.
func migrate(ctx context.Context, db *pgx.Conn, steps fs.FS, out io.Writer) error {
	names, err := fs.Glob(steps, "sql/*.sql")
	if err != nil {
		return err
	}
	done := 0
	err = pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", lockID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "create table if not exists migrations (name text primary key, at timestamptz not null default now())"); err != nil {
			return err
		}
		for _, name := range names {
			query, err := fs.ReadFile(steps, name)
			if err != nil {
				return err
			}
			tag, err := tx.Exec(ctx, "insert into migrations (name) values ($1) on conflict do nothing", path.Base(name))
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 0 {
				continue
			}
			if _, err := tx.Exec(ctx, string(query)); err != nil {
				return fmt.Errorf("%s: %w", path.Base(name), err)
			}
			fmt.Fprintln(out, path.Base(name))
			done++
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d of %d migrations were missing\n", done, len(names))
	return nil
}
