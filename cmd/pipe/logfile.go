package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
)

// Limits for the log files of watch mode: the size in bytes at which a file is
// rotated, and the number of files of all sessions.
const (
	logFileSize = 32 << 20
	maxLogFiles = 10
)

// A logFile stores everything that services print in a session of watch mode.
// It is created with the first line. When it is full, it is renamed with the
// suffix .1, replacing the previous one, and a new file is started.
type logFile struct {
	dir  string
	name string
	most int64             // bytes
	note func(text string) // reports its path and errors

	mu     sync.Mutex // guards what follows
	f      *os.File   // nil: nothing written yet
	size   int64
	failed bool // writing has stopped
}

// newLogFile returns the file for a session that starts now, in the directory
// dir.
func newLogFile(dir, namespace string, now time.Time, note func(string)) *logFile {
	name := fmt.Sprintf("%s-%s-%d.log", namespace, now.UTC().Format("20060102T150405Z"), os.Getpid())
	return &logFile{dir: dir, name: name, most: logFileSize, note: note}
}

// write adds a line that a service has printed.
func (l *logFile) write(at time.Time, service, source, text string) {
	line := fmt.Sprintf("%s %s %s | %s\n", at.UTC().Format("2006-01-02T15:04:05.000Z"), service, ui.Clean(source), ui.Clean(text))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed {
		return
	}
	err := l.room(int64(len(line)))
	if err == nil {
		_, err = l.f.WriteString(line)
		l.size += int64(len(line))
	}
	if err != nil {
		l.failed = true
		l.note(fmt.Sprintf("no longer writing logs to a file: %v", err))
	}
}

// room opens a file that has room for a line of n bytes.
func (l *logFile) room(n int64) error {
	path := filepath.Join(l.dir, l.name)
	switch {
	case l.f == nil:
		if err := os.MkdirAll(l.dir, 0o700); err != nil {
			return err
		}
		if err := keepNewest(l.dir, maxLogFiles-2); err != nil { // this one, and its former part
			return err
		}
		if err := l.create(path); err != nil {
			return err
		}
		l.note("logs of services are written to " + path)
	case l.size > 0 && l.size+n > l.most:
		err := l.f.Close()
		if e := os.Rename(path, path+".1"); !errors.Is(e, fs.ErrNotExist) { // it may have been deleted
			err = errors.Join(err, e)
		}
		if err != nil {
			return err
		}
		return l.create(path)
	}
	return nil
}

func (l *logFile) create(path string) (err error) {
	l.size = 0
	l.f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return err
}

// close closes the file.
func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = true
	if l.f != nil {
		_ = l.f.Close() // every line has been written already
	}
}

// keepNewest deletes all log files except the n newest.
func keepNewest(dir string, n int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	type file struct {
		name string
		at   time.Time
	}
	var files []file
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".log") && !strings.HasSuffix(e.Name(), ".log.1") {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, file{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.name, a.name)) })
	for _, f := range files[min(n, len(files)):] {
		if err := os.Remove(filepath.Join(dir, f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
