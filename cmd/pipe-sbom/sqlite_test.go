package main

import (
	"bytes"
	"database/sql"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// TestSQLiteDamaged: a database with wrong bytes is an error, or has other values; it ends in any case.
func TestSQLiteDamaged(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(rpmDatabase(t, "rockylinux-9/rpmdb.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	values, err := sqliteColumn(bytes.NewReader(data), nil, "Packages", 1)
	if err != nil || len(values) == 0 {
		t.Fatalf("sqliteColumn = %d values, %v", len(values), err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	failed := 0
	for range 40 {
		damaged := bytes.Clone(data)
		for range 2000 {
			damaged[100+random.IntN(len(damaged)-100)] = byte(random.Uint32())
		}
		for i := range 20 { // and in the root of the schema
			damaged[100+random.IntN(40+i)] = byte(random.Uint32())
		}
		if _, err := sqliteColumn(bytes.NewReader(damaged), nil, "Packages", 1); err != nil {
			failed++
		}
	}
	if failed == 0 {
		t.Error("no damaged database is an error")
	}
	if _, err := sqliteColumn(bytes.NewReader(data), nil, "Missing", 1); err == nil || !strings.Contains(err.Error(), "it has no table Missing") {
		t.Errorf("sqliteColumn = %v", err)
	}
}

// TestSQLiteDriver: the driver answers the one question of the library.
func TestSQLiteDriver(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", "file:"+rpmDatabase(t, "rockylinux-9/rpmdb.sqlite")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT hnum FROM Packages")
	if err == nil {
		rows.Close()
		t.Fatal("another query is answered")
	}
	if !strings.Contains(err.Error(), `cannot run "SELECT hnum FROM Packages"`) {
		t.Errorf("the error is %v", err)
	}
}

func FuzzSQLite(f *testing.F) {
	page := make([]byte, 1024)
	copy(page, "SQLite format 3\x00")
	page[16], page[17], page[100] = 2, 0, 13
	f.Add(page)
	f.Fuzz(func(t *testing.T, data []byte) {
		if values, err := sqliteColumn(bytes.NewReader(data), nil, "Packages", 1); err != nil && values != nil && len(values) > len(data) {
			t.Errorf("%d values, %v", len(values), err)
		}
	})
}
