package main

import (
	"bytes"
	_ "embed"
	"html/template"
	"log/slog"
	"net/http"
)

//go:embed page.html
var pageText string

//go:embed style.css
var style []byte

var page = template.Must(template.New("page").Parse(pageText))

// handler answers
//
//	GET /           the page
//	GET /style.css  what it looks like
//	GET /healthz    whether the program runs, whatever the API does
func handler(api *client, title string) http.Handler {
	if title == "" {
		title = "Shop"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		show := struct {
			Title  string
			Goods  []Good
			Visits int64
			Closed bool
		}{Title: title}
		goods, err := api.goods(r.Context())
		if err == nil {
			show.Goods = goods
			show.Visits, err = api.visit(r.Context())
		}
		status := http.StatusOK
		if err != nil {
			slog.ErrorContext(r.Context(), "the API does not answer", "error", err)
			show.Closed, status = true, http.StatusBadGateway
		}
		var b bytes.Buffer
		if err := page.Execute(&b, show); err != nil {
			slog.ErrorContext(r.Context(), "cannot make the page", "error", err)
			http.Error(w, "the page cannot be made", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'")
		w.WriteHeader(status)
		_, _ = w.Write(b.Bytes()) // the client is gone
	})
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(style)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	return mux
}
