package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close(context.Background()) })
	return db
}

func count(t *testing.T, db *pgx.Conn, table string) int {
	t.Helper()
	var n int
	if err := db.QueryRow(t.Context(), "select count(*) from "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRun(t *testing.T) {
	url := postgres(t)
	// The second run is every later deploy.
	for i, want := range []string{"001_goods.sql\n002_first_goods.sql\n2 of 2 migrations were missing\n", "0 of 2 migrations were missing\n"} {
		var out bytes.Buffer
		if err := run(t.Context(), url, &out); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("run %d printed %q, want %q", i+1, &out, want)
		}
	}
	if n := count(t, connect(t, url), "goods"); n != 5 {
		t.Errorf("%d goods, want 5", n)
	}
}

// Two concurrent deploys: one does the work, the other waits and finds it done.
func TestRunTwiceAtOnce(t *testing.T) {
	url := postgres(t)
	done := make(chan error)
	for range 2 {
		go func() { done <- run(t.Context(), url, new(bytes.Buffer)) }()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := count(t, connect(t, url), "goods"); n != 5 {
		t.Errorf("%d goods, want 5", n)
	}
}

// A step that fails leaves nothing of those before it: the next run starts where this one did.
func TestMigrateFails(t *testing.T) {
	db := connect(t, postgres(t))
	steps := fstest.MapFS{
		"sql/1.sql": {Data: []byte("create table t (n int)")},
		"sql/2.sql": {Data: []byte("insert into t values (1); insert into nowhere values (1)")},
	}
	err := migrate(t.Context(), db, steps, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "2.sql") || !strings.Contains(err.Error(), "nowhere") {
		t.Fatalf("migrate = %v, want an error that names the file and the table", err)
	}
	steps["sql/2.sql"].Data = []byte("insert into t values (1)")
	if err := migrate(t.Context(), db, steps, new(bytes.Buffer)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, "t"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestRunWithoutURL(t *testing.T) {
	if err := run(t.Context(), "", new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Errorf("run = %v, want an error that names DATABASE_URL", err)
	}
}
