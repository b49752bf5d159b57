package background

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestServeRefusesASecond(t *testing.T) {
	t.Parallel()
	o := Options{Name: "test", Dir: t.TempDir()}
	err := Serve(t.Context(), o, func(ctx context.Context, ready func(string) error, _ *Activity) error {
		err := Serve(ctx, o, func(context.Context, func(string) error, *Activity) error { return nil })
		if want := fmt.Sprintf("background test: already running as process %d", os.Getpid()); !errors.Is(err, ErrRunning) || err.Error() != want {
			t.Errorf("second Serve = %v, want %s", err, want)
		}
		return errors.New("enough")
	})
	if err == nil || err.Error() != "background test: enough" {
		t.Errorf("Serve = %v", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p := Process{Name: "test", Dir: t.TempDir()}
	ctx, cancel := context.WithCancelCause(t.Context())
	err := Serve(ctx, Options{Name: p.Name, Dir: p.Dir}, func(ctx context.Context, ready func(string) error, _ *Activity) error {
		if err := ready("here"); err != nil {
			t.Error(err)
		}
		if err := ready("there"); err == nil {
			t.Error("second ready: no error")
		}
		if a, err := p.Ensure(ctx); err != nil || a.Addr != "here" || a.PID != os.Getpid() {
			t.Errorf("Ensure = %+v, %v", a, err)
		}
		cancel(errors.New("enough"))
		<-ctx.Done()
		eventually(t, "nobody gets an address any more", func() bool { s, _ := p.Status(); return s.State == Starting })
		return ctx.Err()
	})
	if err != nil {
		t.Errorf("Serve = %v, want nil: it was asked to end", err)
	}
}

func TestServeThatEndsByItself(t *testing.T) {
	t.Parallel()
	err := Serve(t.Context(), Options{Name: "test", Dir: t.TempDir()}, func(context.Context, func(string) error, *Activity) error { return nil })
	if err == nil || err.Error() != "background test: ended without being asked to" {
		t.Errorf("Serve = %v", err)
	}
}

func TestFolderAndName(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, dir, want string }{
		{"a/b", t.TempDir(), `background a/b: invalid name "a/b"`},
		{"", t.TempDir(), `background : invalid name ""`},
		{"test", "state", `background test: directory "state" is not absolute`},
		{"test", file, "background test: mkdir " + file + ": not a directory"},
	} {
		_, err := Process{Name: row.name, Dir: row.dir}.Ensure(t.Context())
		if err == nil || err.Error() != row.want {
			t.Errorf("Ensure of %q in %q = %v, want %s", row.name, row.dir, err, row.want)
		}
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	const d = 8 * time.Minute
	for _, row := range []struct {
		name string
		uses func(a *Activity, attach func(bool)) // takes virtual time
		want time.Duration
	}{
		{"nobody ever", func(*Activity, func(bool)) {}, d},
		{"a request, then none", func(a *Activity, _ func(bool)) {
			time.Sleep(d - time.Minute)
			a.Begin()()
		}, 2*d - time.Minute},
		{"a connection for long", func(a *Activity, _ func(bool)) {
			end := a.Begin()
			time.Sleep(5 * d)
			end()
			end() // does nothing
		}, 6 * d},
		{"two at once", func(a *Activity, _ func(bool)) {
			one, two := a.Begin(), a.Begin()
			one()
			time.Sleep(3 * d)
			two()
		}, 4 * d},
		{"a caller attached for long", func(_ *Activity, attach func(bool)) {
			attach(true)
			time.Sleep(5*d + time.Second)
			attach(false)
		}, 6 * d},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				a := &Activity{last: began}
				var busy atomic.Bool
				go row.uses(a, busy.Store)
				looks := 0
				ended := idle(t.Context(), a, d, busy.Load, func() bool { return true }, func() { looks++ })
				if got := time.Since(began); !ended || got != row.want {
					t.Errorf("ended (%v) after %v, want %v", ended, got, row.want)
				}
				if looks != int(row.want/time.Minute) {
					t.Errorf("%d looks, want one each minute", looks)
				}
			})
		})
	}
}

func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	line := strings.Repeat("x", 1023) + "\n"
	for range 3 {
		if _, err := log.WriteString(strings.Repeat(line, maxLog/1024+1)); err != nil {
			t.Fatal(err)
		}
		if err := rotate(path); err != nil {
			t.Fatal(err)
		}
		if _, err := log.WriteString("after\n"); err != nil {
			t.Fatal(err)
		}
		if err := rotate(path); err != nil { // too short now
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != "after\n" {
			t.Fatalf("log = %d bytes, %v; want the line written after", len(data), err)
		}
		if info, err := os.Stat(path + ".old"); err != nil || info.Size() != maxLog {
			t.Fatalf("old log: %v, %v; want %d bytes", info, err, maxLog)
		}
	}
}

func TestTailOfALog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.log")
	var lines []string
	for i := range 100 {
		lines = append(lines, fmt.Sprint("line ", i))
	}
	if err := os.WriteFile(path, []byte("before\n"+strings.Join(lines, "\n")+"\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := tail(path, 7), strings.Join(lines[100-tailLines:], "\n"); got != want {
		t.Errorf("tail = %q, want %q", got, want)
	}
	if got := tail(path+"x", 0); got != "" {
		t.Errorf("tail of no file = %q", got)
	}
}
