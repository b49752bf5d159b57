package deploy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// A losing transport passes writes to the server, and loses the next answer: it tells the
// client to retry.
type losing struct {
	next http.RoundTripper
	lose bool
}

func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.next.RoundTrip(r)
	if r.Method == http.MethodGet || !l.lose || err != nil {
		return answer, err
	}
	l.lose = false
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return &http.Response{
		StatusCode: http.StatusServiceUnavailable, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Retry-After": {"1"}}, Body: io.NopCloser(strings.NewReader("")),
	}, nil
}

// TestVersioned checks that a write of a Secret that was changed since it was read
// conflicts, and that a write whose answer was lost does not.
func TestVersioned(t *testing.T) {
	t.Parallel()
	config := rest.CopyConfig(testenv.Cluster(t))
	wire := &losing{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		wire.next = next
		return wire
	})
	c, err := newCluster(config)
	fatal(t, err)
	namespace := runtimetest.Unique("versioned")
	_, err = c.Typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	fatal(t, err)
	t.Cleanup(func() {
		_ = c.Typed.CoreV1().Namespaces().Delete(context.Background(), namespace, metav1.DeleteOptions{})
	})
	open := func() *versioned {
		return &versioned{
			SecretInterface: c.Typed.CoreV1().Secrets(namespace), meta: c.SecretsMetadata(namespace),
			requests: t.Context, known: make(map[string]version),
		}
	}
	secret := func(name, value string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"is": value}},
			Data:       map[string][]byte{"release": []byte(value)},
		}
	}
	writes := map[string]func(v *versioned, name string) error{
		"update": func(v *versioned, name string) error {
			_, err := v.Update(t.Context(), secret(name, "two"), metav1.UpdateOptions{})
			return err
		},
		"label":  func(v *versioned, name string) error { return v.label(name, map[string]any{"is": "two", "not": nil}) },
		"delete": func(v *versioned, name string) error { return v.Delete(t.Context(), name, metav1.DeleteOptions{}) },
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			mine, theirs := open(), open()
			_, err := mine.Create(t.Context(), secret(name, "one"), metav1.CreateOptions{})
			fatal(t, err)
			_, err = theirs.Get(t.Context(), name, metav1.GetOptions{})
			fatal(t, err)
			_, err = theirs.Update(t.Context(), secret(name, "three"), metav1.UpdateOptions{})
			fatal(t, err)
			if err := write(mine, name); !errors.Is(err, runtime.ErrConflict) {
				t.Errorf("after another has written it: %v, want ErrConflict", err)
			}
			if is, err := theirs.Get(t.Context(), name, metav1.GetOptions{}); err != nil || is.Labels["is"] != "three" {
				t.Errorf("it is %v, %v", is, err)
			}
			wire.lose = true
			fatal(t, write(theirs, name))
			if wire.lose {
				t.Error("no answer was lost")
			}
			if name != "delete" {
				fatal(t, write(theirs, name)) // it knows the version that it wrote
			}
			over, stop := context.WithCancelCause(t.Context())
			stop(runtime.ErrLeaseLost)
			theirs.requests = func() context.Context { return over }
			if err := write(theirs, name); !errors.Is(err, runtime.ErrLeaseLost) {
				t.Errorf("without the lease: %v", err)
			}
		})
	}
	t.Run("create", func(t *testing.T) {
		v := open()
		wire.lose = true
		_, err := v.Create(t.Context(), secret("create", "one"), metav1.CreateOptions{})
		fatal(t, err)
		fatal(t, writes["update"](v, "create"))
		if _, err := open().Create(t.Context(), secret("create", "other"), metav1.CreateOptions{}); err == nil {
			t.Error("another one of that name was created")
		}
		if err := writes["update"](open(), "create"); err == nil {
			t.Error("it was written without being read")
		}
	})
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
