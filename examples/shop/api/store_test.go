package main

import (
	"os"
	"testing"

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
	cache := newCache(server(t, "redis"))
	defer cache.Close()
	s := &store{cache: cache}
	if _, err := s.ask(t.Context(), "FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	for want := int64(1); want <= 3; want++ {
		if got, err := s.Visit(t.Context()); err != nil || got != want {
			t.Errorf("Visit = %d, %v; want %d", got, err, want)
		}
	}
}
