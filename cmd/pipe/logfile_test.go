package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// filesIn returns the names of the files in a directory.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestLogFile: lines are written immediately, without control characters for a terminal, to
// a file that only its user can read. The path is reported once. When the file is full, one
// former part is kept.
func TestLogFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	at := time.Date(2031, 2, 3, 4, 5, 6, 7_000_000, time.UTC)
	var notes []string
	l := newLogFile(dir, "shop-dev", at, func(text string) { notes = append(notes, text) })
	if _, err := os.Stat(dir); err == nil {
		t.Error("there is a directory before there is a line")
	}
	l.most = 150
	path := filepath.Join(dir, l.name)
	for i := range 5 {
		l.write(at, "api", "api-0/api", fmt.Sprintf("\x1b[31mline\x1b[0m %d", i))
	}
	const line = "2031-02-03T04:05:06.007Z api api-0/api | line %d\n"
	for name, want := range map[string]string{path + ".1": fmt.Sprintf(line+line+line, 0, 1, 2), path: fmt.Sprintf(line+line, 3, 4)} {
		got, err := os.ReadFile(name)
		if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := os.Remove(path); err != nil { // like a user who cleans up
		t.Fatal(err)
	}
	for i := range 5 {
		l.write(at, "api", "api-0/api", fmt.Sprint("line ", i))
	}
	if got := filesIn(t, dir); len(got) != 2 {
		t.Errorf("files: %q", got)
	}
	l.close()
	l.write(at, "api", "api-0/api", "too late")
	if diff := cmp.Diff([]string{"logs of services are written to " + path}, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// TestLogFileFails: if the file cannot be written, this is reported once.
func TestLogFileFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var notes []string
	l := newLogFile(filepath.Join(file, "logs"), "shop-dev", time.Now(), func(text string) { notes = append(notes, text) })
	l.write(time.Now(), "api", "api-0/api", "one")
	l.write(time.Now(), "api", "api-0/api", "two")
	l.close()
	if len(notes) != 1 || !strings.HasPrefix(notes[0], "no longer writing logs to a file: ") {
		t.Errorf("notes: %q", notes)
	}
}

// TestOldLogFiles: only the files of old sessions are deleted.
func TestOldLogFiles(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for i := range 20 {
		name := fmt.Sprintf("shop-dev-%02d.log", i)
		write(t, dir, name, "x")
		if err := os.Chtimes(filepath.Join(dir, name), now, now.Add(time.Duration(i-100)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "notes.txt", "x")
	l := newLogFile(dir, "shop-dev", now, func(string) {})
	l.write(now, "api", "api-0/api", "one")
	l.close()
	want := []string{"notes.txt"}
	for i := 12; i < 20; i++ {
		want = append(want, fmt.Sprintf("shop-dev-%02d.log", i))
	}
	if diff := cmp.Diff(append(want, l.name), filesIn(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}
