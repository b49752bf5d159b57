package stall

import (
	"net/http"
	"strconv"
	"time"
)

// RetryAfter returns how long a registry that had too many requests, or has no time for them, asks
// to wait before the next one. A date in its answer is compared with its own clock. answer may be
// nil.
func RetryAfter(answer *http.Response) (time.Duration, bool) {
	if answer == nil || answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	text := answer.Header.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		wait = time.Duration(min(seconds, int64((365*24*time.Hour)/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		now, err := http.ParseTime(answer.Header.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		wait = at.Sub(now)
	}
	return wait, wait > 0
}
