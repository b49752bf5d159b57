package registry

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// A listener reports the warnings of one host, which it sends in the header that the OCI
// distribution specification defines for them: 299 - "text".
type listener struct {
	inner  http.RoundTripper
	host   string
	notice func(string)

	mu    sync.Mutex
	heard map[string]bool // guarded by mu; the warnings that were reported already
}

// RoundTrip implements [http.RoundTripper].
func (l *listener) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.inner.RoundTrip(r)
	if err != nil || r.URL.Host != l.host {
		return answer, err
	}
	for _, warning := range answer.Header.Values("Warning") {
		quoted, ok := strings.CutPrefix(warning, "299 - ")
		text, err := strconv.Unquote(quoted)
		if !ok || err != nil {
			continue
		}
		l.mu.Lock()
		known := l.heard[text]
		l.heard[text] = true
		l.mu.Unlock()
		if !known {
			l.notice(text)
		}
	}
	return answer, nil
}
