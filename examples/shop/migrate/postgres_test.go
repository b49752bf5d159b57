package main

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// postgres makes a database for the test and returns its URL.
func postgres(t *testing.T) string {
	t.Helper()
	at, err := url.Parse(server(t, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := pgx.Connect(t.Context(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	name := strings.ToLower(t.Name())
	for _, query := range []string{"drop database if exists " + name, "create database " + name} {
		if _, err := db.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	return at.JoinPath("..", name).String()
}

// server says where a server for tests is. Without one the test is skipped, or fails if PIPE_TEST_REQUIRE has the server.
func server(t *testing.T, name string) string {
	t.Helper()
	variable := "PIPE_TEST_" + strings.ToUpper(name)
	at := os.Getenv(variable)
	if at != "" {
		return at
	}
	why := variable + " does not say where one is: run the tests by the command of examples/images, as in images try go test"
	if slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), name) {
		t.Fatalf("PIPE_TEST_REQUIRE names %s, but %s", name, why)
	}
	t.Skip(why)
	return ""
}
