package reach

import (
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/streaming/pkg/httpstream"
)

// noWebsocket reports whether err means that the server, or a proxy, does not support
// websockets. It may support SPDY.
func noWebsocket(err error) bool {
	return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
}

// An answer is the status of the response to a request. The errors of the
// libraries for streams contain only its text.
type answer struct{ status int }

// of records the responses to requests through next.
func (a *answer) of(next http.RoundTripper) http.RoundTripper { return answering{a, next} }

type answering struct {
	answer *answer
	next   http.RoundTripper
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.next.RoundTrip(r)
	if resp != nil {
		a.answer.status = resp.StatusCode
	}
	return resp, err
}

// error returns the response of the server instead of a stream to a pod, as a
// *StatusError, or err if there was no response.
func (a *answer) error(err error, pod string) error {
	if a.status < http.StatusBadRequest {
		return err
	}
	refused := apierrors.NewGenericServerResponse(a.status, http.MethodPost, corev1.Resource("pods"), pod, "", 0, false)
	refused.ErrStatus.Message = strings.TrimPrefix(err.Error(), "unable to upgrade connection: ")
	return refused
}
