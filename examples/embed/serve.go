package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// handler serves the house. Who asks is in the header X-User, from the proxy in
// front, which also decides who may.
//
//	GET  /TEAM/ENVIRONMENT    what a deploy would do, as JSON
//	POST /TEAM/ENVIRONMENT    deploys; answers with the events, one a line
func (h *house) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{team}/{env}", func(w http.ResponseWriter, r *http.Request) {
		if !h.has(w, r) {
			return
		}
		steps, err := h.preview(r.Context(), r.PathValue("team"), r.PathValue("env"))
		var foreseen *runtime.RunError
		if err != nil && !errors.As(err, &foreseen) { // what would fail is among the steps
			fail(w, err)
			return
		}
		answer(w, http.StatusOK, steps)
	})
	mux.HandleFunc("POST /{team}/{env}", func(w http.ResponseWriter, r *http.Request) {
		if !h.has(w, r) {
			return
		}
		// Whoever hangs up ends the run, cleanly: its context is that of the request.
		s := &stream{w: w}
		rec, err := h.deploy(r.Context(), r.PathValue("team"), r.PathValue("env"), r.Header.Get("X-User"), s.event)
		if rec == nil {
			fail(w, err) // it did not start, so nothing was written; otherwise the last event says how it ended
		}
	})
	return mux
}

// has reports whether there is the team of a request.
func (h *house) has(w http.ResponseWriter, r *http.Request) bool {
	if slices.Contains(h.teams, r.PathValue("team")) {
		return true
	}
	answer(w, http.StatusNotFound, problem{Error: "there is no team " + r.PathValue("team")})
	return false
}

// A stream writes events as they come.
type stream struct {
	w   http.ResponseWriter
	err error // of writing; it cannot be told to whoever does not listen
}

func (s *stream) event(e runtime.Event) {
	if s.err != nil {
		return
	}
	if e.Seq == 1 {
		s.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	if s.err = json.NewEncoder(s.w).Encode(e); s.err == nil {
		s.err = http.NewResponseController(s.w).Flush()
	}
}

// A problem is the answer to what cannot be done.
type problem struct {
	Error       string            `json:"error"`
	Diagnostics []plan.Diagnostic `json:"diagnostics,omitempty"` // of the Pipelinefile
}

// fail answers with a status by which a program can tell what is wrong.
func fail(w http.ResponseWriter, err error) {
	var file *interp.Error
	var locked *runtime.LockedError
	switch {
	case errors.As(err, &file):
		answer(w, http.StatusUnprocessableEntity, problem{err.Error(), file.Diagnostics})
	case errors.As(err, &locked):
		answer(w, http.StatusConflict, problem{Error: err.Error()})
	case errors.Is(err, context.Canceled): // nobody listens any more
	default:
		answer(w, http.StatusInternalServerError, problem{Error: err.Error()})
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error here is that nobody listens any more
}
