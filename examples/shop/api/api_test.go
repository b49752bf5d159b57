package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// shelf is a shop in memory.
type shelf struct {
	goods  []Good
	visits int64
	err    error
}

func (s *shelf) Ping(context.Context) error            { return s.err }
func (s *shelf) Goods(context.Context) ([]Good, error) { return s.goods, s.err }
func (s *shelf) Visit(context.Context) (int64, error)  { s.visits++; return s.visits, s.err }

func TestHandler(t *testing.T) {
	goods := []Good{{"Teapot", "Short and stout.", 2850, 7}}
	down := errors.New("dial tcp db:5432: password hunter2 is wrong")
	for _, test := range []struct {
		name, method, path, auth string
		err                      error
		status                   int
		body                     string
	}{
		{"goods", "GET", "/goods", "Bearer key", nil, 200, `[{"name":"Teapot","description":"Short and stout.","cents":2850,"stock":7}]`},
		{"visit", "POST", "/visits", "Bearer key", nil, 200, `{"visits":1}`},
		{"healthy", "GET", "/healthz", "", nil, 200, `"ok"`},
		{"no key", "GET", "/goods", "", nil, 401, "the key is missing or wrong"},
		{"wrong key", "GET", "/goods", "Bearer keys", nil, 401, "the key is missing or wrong"},
		{"no key, no visit", "POST", "/visits", "", nil, 401, "the key is missing or wrong"},
		{"store down", "GET", "/goods", "Bearer key", down, 503, "a store cannot be reached"},
		{"unhealthy", "GET", "/healthz", "", down, 503, "a store cannot be reached"},
		{"visit by mistake", "GET", "/visits", "Bearer key", nil, 405, "Method Not Allowed"},
		{"nothing", "GET", "/", "Bearer key", nil, 404, "404 page not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &shelf{goods: goods, err: test.err}
			r := httptest.NewRequestWithContext(t.Context(), test.method, test.path, nil)
			if test.auth != "" {
				r.Header.Set("Authorization", test.auth)
			}
			w := httptest.NewRecorder()
			handler(s, "key").ServeHTTP(w, r)
			if got := strings.TrimSpace(w.Body.String()); w.Code != test.status || got != test.body {
				t.Errorf("%s %s = %d %q, want %d %q", test.method, test.path, w.Code, got, test.status, test.body)
			}
			if test.status == http.StatusUnauthorized && s.visits != 0 {
				t.Error("a visit was counted")
			}
		})
	}
}

func TestRunNamesWhatIsMissing(t *testing.T) {
	env := map[string]string{"DATABASE_URL": "postgres://db", "REDIS_ADDRESS": "cache:6379", "API_KEY": "key"}
	for name := range env {
		err := run(t.Context(), func(n string) string {
			if n == name {
				return ""
			}
			return env[n]
		})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v, want an error that names it", name, err)
		}
	}
}
