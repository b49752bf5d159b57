package main

import (
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestStoreGoods(t *testing.T) {
	db, err := pgxpool.New(t.Context(), postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := &store{db: db}
	if got, err := s.Goods(t.Context()); err == nil {
		t.Errorf("Goods without a table = %v, want an error", got)
	}
	// As the migration makes it, which is a program of its own.
	for _, file := range []string{"001_goods.sql", "002_first_goods.sql"} {
		query, err := os.ReadFile("../migrate/sql/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), string(query)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Goods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range got {
		names = append(names, g.Name)
	}
	if diff := cmp.Diff([]string{"Lantern", "Notebook", "Pencil", "Teapot", "Umbrella"}, names); diff != "" {
		t.Errorf("goods (-want +got):\n%s", diff)
	}
	if want := (Good{"Teapot", "Short and stout. It does not brew coffee.", 2850, 7}); got[3] != want {
		t.Errorf("goods[3] = %+v, want %+v", got[3], want)
	}
}

func TestStoreVisit(t *testing.T) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), "redis") {
			t.Fatal("Redis is required, and is not installed")
		}
		t.Skip("Redis is not installed: apt-get install redis-server")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	cmd := exec.CommandContext(t.Context(), program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	cache := newCache("127.0.0.1:" + port)
	defer cache.Close()
	s := &store{cache: cache}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) { // another process gets ready
		if _, err := s.ask(t.Context(), "PING"); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	for want := int64(1); want <= 3; want++ {
		if got, err := s.Visit(t.Context()); err != nil || got != want {
			t.Errorf("Visit = %d, %v; want %d", got, err, want)
		}
	}
}
