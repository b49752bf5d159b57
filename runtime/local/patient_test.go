package local

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPatient: a cluster that has answered before is waited for, and is asked the
// same again; one that never has is not.
func TestPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("connection refused")
		down := time.Now().Add(time.Hour) // until then
		var asked []string
		p := patient{next: roundTripper(func(r *http.Request) (*http.Response, error) {
			data, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if time.Now().Before(down) {
				return nil, away
			}
			asked = append(asked, string(data))
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		}), presence: &presence{patience: retry.Patience}}
		ask := func(text string) (time.Duration, error) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://cluster.test", strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			_, err = p.RoundTrip(r)
			return time.Since(begun), err
		}
		if took, err := ask("never there"); !errors.Is(err, away) || took > 0 {
			t.Errorf("one that never answered: %v after %v", err, took)
		}
		down = time.Time{}
		if _, err := ask("one"); err != nil {
			t.Error(err)
		}
		down = time.Now().Add(4 * time.Second)
		if took, err := ask("two"); err != nil || took < 4*time.Second || took > 5*time.Second {
			t.Errorf("away for 4 s: %v after %v", err, took)
		}
		down = time.Now().Add(time.Hour)
		if took, err := ask("three"); !errors.Is(err, away) || took < retry.Patience || took > retry.Patience+time.Second {
			t.Errorf("away for good: %v after %v", err, took)
		}
		if took, err := ask("four"); !errors.Is(err, away) || took > 0 {
			t.Errorf("away for long: %v after %v", err, took)
		}
		if got := strings.Join(asked, " "); got != "one two" {
			t.Errorf("it was asked %q", got)
		}
	})
}
