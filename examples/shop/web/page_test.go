package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// api answers as the API does, for callers that have the key.
func api(t *testing.T, status int) *client {
	t.Helper()
	visits := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var value any
		switch {
		case status != http.StatusOK:
			w.WriteHeader(status)
			return
		case r.Header.Get("Authorization") != "Bearer key":
			w.WriteHeader(http.StatusUnauthorized)
			return
		case r.Method == http.MethodGet && r.URL.Path == "/goods":
			value = []Good{{"Teapot", "It does <b>not</b> brew coffee.", 2805, 7}, {"Umbrella", "", 1990, 0}}
		case r.Method == http.MethodPost && r.URL.Path == "/visits":
			visits++
			value = map[string]int{"visits": visits}
		}
		if err := json.NewEncoder(w).Encode(value); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return &client{url: server.URL, key: "key", http: server.Client()}
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func TestPage(t *testing.T) {
	h := handler(api(t, http.StatusOK), "Tea & Tools")
	get(t, h, "/")
	w := get(t, h, "/")
	if w.Code != http.StatusOK {
		t.Fatalf("GET / = %d: %s", w.Code, w.Body)
	}
	for _, want := range []string{
		"<title>Tea &amp; Tools</title>", "<h1>Tea &amp; Tools</h1>", "<h3>Teapot</h3>", "It does &lt;b&gt;not&lt;/b&gt; brew coffee.",
		"€ 28.05", "7 in stock", `<p class="stock none">sold out</p>`, "Visit number <strong>2</strong>", `<html lang="en">`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page does not have %q:\n%s", want, w.Body)
		}
	}
}

func TestPageWithoutAPI(t *testing.T) {
	for name, status := range map[string]int{"down": http.StatusServiceUnavailable, "another key": http.StatusUnauthorized} {
		t.Run(name, func(t *testing.T) {
			h := handler(api(t, status), "Shop")
			w := get(t, h, "/")
			if w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), `role="alert"`) || strings.Contains(w.Body.String(), "Visit number") {
				t.Errorf("GET / = %d, want 502 and a word:\n%s", w.Code, w.Body)
			}
			if w := get(t, h, "/healthz"); w.Code != http.StatusOK {
				t.Errorf("GET /healthz = %d: whether the API answers is not the health of this program", w.Code)
			}
		})
	}
}

func TestOtherPaths(t *testing.T) {
	h := handler(api(t, http.StatusOK), "")
	if w := get(t, h, "/style.css"); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("GET /style.css = %d, %s", w.Code, w.Header().Get("Content-Type"))
	}
	if w := get(t, h, "/nothing"); w.Code != http.StatusNotFound {
		t.Errorf("GET /nothing = %d, want 404", w.Code)
	}
}
