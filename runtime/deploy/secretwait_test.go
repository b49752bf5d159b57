package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

func secretWith(name string, keys ...string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Data: map[string][]byte{}}
	for _, key := range keys {
		s.Data[key] = []byte("4711")
	}
	return s
}

// TestSecretWait: the Secrets of a service are awaited by name and key, in virtual time.
func TestSecretWait(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", errors.New("no watch"))
	for _, test := range []struct {
		name   string
		script func(s *secretScene)
		took   time.Duration
		want   string // the error; empty: none
		told   []string
	}{
		{
			name: "soon", took: time.Second,
			script: func(s *secretScene) {
				time.Sleep(time.Second)
				s.put(secretWith("mail", "user", "password"))
			},
		},
		{
			name: "one key after the other", took: 25 * time.Second,
			script: func(s *secretScene) {
				time.Sleep(5 * time.Second)
				s.put(secretWith("mail"))
				time.Sleep(10 * time.Second)
				s.put(secretWith("mail", "user"))
				time.Sleep(10 * time.Second)
				s.put(secretWith("mail", "user", "password"))
			},
			told: []string{"10s keys password, user of Secret mail (it is empty)", "20s key password of Secret mail (it has user)"},
		},
		{
			name: "never", took: 55 * time.Second,
			want: "timed out after 55s: missing in namespace ns: Secret mail (keys more, password, user)",
			told: []string{"10s Secret mail (keys password, user)", "20s Secret mail (keys password, user)", "30s Secret mail (keys password, user)", "40s Secret mail (keys password, user)", "50s Secret mail (keys password, user)"},
		},
		{
			name: "soon to be made", took: 15 * time.Second,
			script: func(s *secretScene) {
				time.Sleep(15 * time.Second)
				s.cancel(errors.New("interrupted"))
			},
			want: "interrupted: missing in namespace ns: Secret mail (keys more, password, user), to be made by ExternalSecret mail (SecretSyncedError: no such entry)",
			told: []string{"10s Secret mail (keys password, user), to be made by ExternalSecret mail (SecretSyncedError: no such entry)"},
		},
		{
			name: "no right to watch", took: 3 * time.Second,
			script: func(s *secretScene) {
				time.Sleep(3 * time.Second)
				s.view.Changed(observe.SecretKind, forbidden)
			},
			want: "wait for Secret mail (keys password, user): " + forbidden.Error(),
		},
		{
			name: "the cluster is away", took: 12 * time.Second,
			script: func(s *secretScene) {
				s.view.Changed(observe.SecretKind, errors.New("connection refused"))
				time.Sleep(12 * time.Second)
				s.put(secretWith("mail", "user", "password"))
			},
			told: []string{"10s Secret mail (keys password, user) (the cluster does not say: connection refused)"},
		},
		{
			name: "interrupted", took: 7 * time.Second,
			script: func(s *secretScene) {
				time.Sleep(7 * time.Second)
				s.cancel(errors.New("interrupted"))
			},
			want: "interrupted: missing in namespace ns: Secret mail (keys more, password, user)",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &secretScene{t: t, view: testView(t)}
				var ctx context.Context
				ctx, s.cancel = context.WithCancelCause(t.Context())
				defer s.cancel(nil)
				began := time.Now()
				uses := []secretRefUse{
					{ref: plan.SecretRef{Name: "mail", Key: "user"}, service: "api"}, {ref: plan.SecretRef{Name: "MAIL", Key: "password"}, service: "api"},
					{ref: plan.SecretRef{Name: "mail", Key: "more"}, service: "other"}, {ref: plan.SecretRef{Name: "else"}, service: "other"},
				}
				all := needs{namespace: "ns", uses: uses}
				var told []string
				w := secretWait{
					all: all, own: all.of("api"), err: func() error { return s.view.Err(observe.SecretKind) },
					find: func(name string) *corev1.Secret {
						return observe.Object[corev1.Secret](s.view, observe.SecretKind, "ns", name)
					},
					emit: func(b runtime.Body) {
						told = append(told, fmt.Sprintf("%.0fs %s", time.Since(began).Seconds(), b.(runtime.WaitingFor).What))
					},
				}
				w.makers = func(missing []runtime.MissingSecret) {
					for i := range missing {
						if test.name == "soon to be made" {
							missing[i].By = &runtime.SecretMaker{Object: "ExternalSecret mail", Why: "SecretSyncedError: no such entry"}
						}
					}
				}
				changes := make(chan struct{}, 1)
				defer s.view.Read(changes)()
				if test.script != nil {
					go test.script(s)
				}
				err := w.run(ctx, changes, within(55*time.Second))
				if took := time.Since(began); took != test.took {
					t.Errorf("took %s, want %s", took, test.took)
				}
				if got := fmt.Sprint(err); got != test.want && (err != nil || test.want != "") {
					t.Errorf("error %s\nwant  %s", got, test.want)
				}
				if diff := cmp.Diff(test.told, told); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
				if strings.Contains(fmt.Sprint(err, told), "4711") {
					t.Error("a value is told")
				}
			})
		})
	}
}

// A secretScene is a namespace in which a test creates Secrets.
type secretScene struct {
	t      *testing.T
	view   *observe.Cache
	cancel context.CancelCauseFunc
}

func (s *secretScene) put(secret *corev1.Secret) { put(s.t, s.view, secret) }
