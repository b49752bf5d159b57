package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/helmfile/vals/pkg/api"
	"github.com/helmfile/vals/pkg/config"
)

// A fakeManager returns what its functions return.
type fakeManager struct {
	text   func(path string) (string, error)
	values func(path string) (map[string]any, error)
}

func (f fakeManager) GetString(path string) (string, error)            { return f.text(path) }
func (f fakeManager) GetStringMap(path string) (map[string]any, error) { return f.values(path) }

func fetchFrom(ctx context.Context, f fakeManager, parses bool, asks []ask) []answer {
	all := fetcher{
		managers: map[string]manager{"fake": {func(config.MapConfig) api.Provider { return f }, parses}},
		hide:     func(text string) string { return text }, timeout: time.Minute,
	}
	return all.fetch(ctx, asks)
}

// TestFetchConcurrently: after the first request, documents are fetched concurrently, and each of them once.
func TestFetchConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		f := fakeManager{values: func(path string) (map[string]any, error) {
			requests.Add(1)
			time.Sleep(time.Second) // of the bubble
			return map[string]any{"a": "1", "b": "2"}, nil
		}}
		var asks []ask
		var want []string
		for i := range 10 {
			for key, value := range map[string]string{"a": "1", "b": "2"} {
				asks, want = append(asks, ask{Reference: fmt.Sprintf("ref+fake://%d#/%s", i, key)}), append(want, value)
			}
		}
		start := time.Now()
		checkAnswers(t, asks, fetchFrom(t.Context(), f, false, asks), want)
		if took := time.Since(start); requests.Load() != 10 || took != 2*time.Second {
			t.Errorf("%d requests in %s, want 10 in 2s: the first one, then the others", requests.Load(), took)
		}
	})
}

// TestFetchSlow: a manager that does not answer, and a run that is interrupted.
func TestFetchSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		f := fakeManager{text: func(string) (string, error) { <-end; return "hidden", nil }}
		asks := []ask{{Reference: "ref+fake://a"}, {Reference: "ref+fake://b"}}
		checkAnswers(t, asks, fetchFrom(t.Context(), f, false, asks), []string{"error: no answer within 1m0s", "error: no answer within 1m0s"})

		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("interrupted"))
		checkAnswers(t, asks, fetchFrom(ctx, f, false, asks), []string{"error: interrupted", "error: interrupted"})
		close(end)
		synctest.Wait()
	})
}

// TestFetchHidesValues: a client that cannot parse a document quotes it in its error, or panics with it.
func TestFetchHidesValues(t *testing.T) {
	quoting := func(string) (map[string]any, error) { return nil, errors.New("cannot unmarshal `hidden`") }
	asks := []ask{{Reference: "ref+fake://a#/k"}}
	f := fakeManager{func(string) (string, error) { return "hidden", nil }, quoting}
	checkAnswers(t, asks, fetchFrom(t.Context(), f, true, asks), []string{"error: the value is not a map"})
	f.text = func(string) (string, error) { return "", errors.New("access denied") }
	checkAnswers(t, asks, fetchFrom(t.Context(), f, true, asks), []string{"error: access denied"})
	f.values = func(string) (map[string]any, error) { panic("hidden") }
	checkAnswers(t, asks, fetchFrom(t.Context(), f, false, asks), []string{"error: the client of the manager failed"})
}
