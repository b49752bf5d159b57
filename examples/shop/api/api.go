package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net/http"
)

// A Good is something to buy.
type Good struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Cents       int    `json:"cents"`
	Stock       int    `json:"stock"`
}

// A shop is what the API needs of its stores.
type shop interface {
	Ping(ctx context.Context) error
	Goods(ctx context.Context) ([]Good, error)
	Visit(ctx context.Context) (int64, error)
}

// handler answers
//
//	GET  /goods    all goods, by name
//	POST /visits   counts a visit; {"visits": how many there were}
//	GET  /healthz  whether both stores can be reached
//
// The first two want the key as bearer token.
func handler(s shop, key string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /goods", authorized(key, func(w http.ResponseWriter, r *http.Request) {
		goods, err := s.Goods(r.Context())
		answer(w, r, goods, err)
	}))
	mux.HandleFunc("POST /visits", authorized(key, func(w http.ResponseWriter, r *http.Request) {
		n, err := s.Visit(r.Context())
		answer(w, r, map[string]int64{"visits": n}, err)
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, "ok", s.Ping(r.Context()))
	})
	return mux
}

func authorized(key string, next http.HandlerFunc) http.HandlerFunc {
	want := []byte("Bearer " + key)
	return func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "the key is missing or wrong", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

func answer(w http.ResponseWriter, r *http.Request, value any, err error) {
	if err != nil {
		// What a store says may tell too much: it goes into the log.
		slog.ErrorContext(r.Context(), "cannot answer", "path", r.URL.Path, "error", err)
		http.Error(w, "a store cannot be reached", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the client is gone
}
