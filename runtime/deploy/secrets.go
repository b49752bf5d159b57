package deploy

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// secrets caches the Secrets of namespaces.
//
// A release that uses a secret must change when the value of the secret changes, without
// revealing the value (D4). So the release contains a keyed digest over the values. The
// key is random, differs between namespaces, and is stored in a Secret of the namespace:
// a user who can read it can also read the secrets themselves.
//
// A namespace is read once: when the first release that uses a secret needs it, or by
// Prepare, which writes what is missing. Values are kept only in memory.
type secrets struct {
	mu     sync.Mutex
	states map[string]*secretState // by namespace
}

// A secretState has the Secrets of one namespace.
type secretState struct {
	mu     sync.Mutex
	loaded bool
	key    []byte                    // of the digest
	stored bool                      // the key is in the cluster
	data   map[string]*corev1.Secret // all Secrets except those of Helm, by name
}

// keySecret is the Secret that contains the key of the digests.
const keySecret = "pipe-fingerprints"

// state returns the state of a namespace, locked. With fresh, it is read again.
func (s *secrets) state(ctx context.Context, d *Deployer, namespace string, fresh bool) (*secretState, error) {
	s.mu.Lock()
	if s.states == nil {
		s.states = make(map[string]*secretState)
	}
	st := s.states[namespace]
	if st == nil {
		st = &secretState{}
		s.states[namespace] = st
	}
	s.mu.Unlock()
	st.mu.Lock()
	if st.loaded && !fresh {
		return st, nil
	}
	list, err := d.cluster.Typed.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: observe.NotHelm})
	if err != nil {
		st.mu.Unlock()
		return nil, fmt.Errorf("look at the secrets of namespace %s: %w", namespace, d.explain(ctx, err))
	}
	st.loaded, st.data = true, make(map[string]*corev1.Secret)
	for i := range list.Items {
		st.data[list.Items[i].Name] = &list.Items[i]
	}
	if k := st.data[keySecret]; k != nil && len(k.Data[chart.DefaultKey]) > 0 {
		st.key, st.stored = k.Data[chart.DefaultKey], true
	} else if st.key == nil || st.stored {
		// Prepare stores this key in the cluster, unless this is only a look.
		st.key, st.stored = make([]byte, 32), false
		rand.Read(st.key)
	}
	return st, nil
}

// A secretUse is how the secrets of a service are used.
type secretUse struct {
	key chart.KeyOf
	sum string // keyed digest over the values; empty if it uses none

	values map[plan.SecretRef][]byte // those that exist
}

// of returns how a service uses secrets. A missing secret is not an error here: see
// MissingSecrets.
func (s *secrets) of(ctx context.Context, d *Deployer, namespace string, service plan.Service) (secretUse, error) {
	use := secretUse{key: chart.SecretKey}
	refs := refsOf(service)
	if len(refs) == 0 {
		return use, nil
	}
	st, err := s.state(ctx, d, namespace, false)
	if err != nil {
		return use, err
	}
	defer st.mu.Unlock()
	keys := make(map[plan.SecretRef]string)
	use.values = make(map[plan.SecretRef][]byte)
	sum := hmac.New(sha256.New, st.key)
	for _, ref := range refs {
		value, given, err := d.given(ctx, ref)
		if err != nil {
			return use, err
		}
		name, key := chart.SecretKey(ref)
		if secret := st.data[name]; secret != nil && !given {
			key, _ = keyIn(ref, slices.Sorted(maps.Keys(secret.Data)))
			value = secret.Data[key]
			_, given = secret.Data[key]
		}
		if given {
			use.values[ref] = value
		}
		keys[ref] = key
		fmt.Fprintf(sum, "%q %q %d\n", name, key, len(value))
		sum.Write(value)
	}
	use.sum = hex.EncodeToString(sum.Sum(nil)[:16])
	use.key = func(ref plan.SecretRef) (string, string) {
		name, _ := chart.SecretKey(ref)
		return name, keys[ref]
	}
	return use, nil
}

// refsOf returns the secrets that the pods of a service use, sorted and without
// duplicates. For a database, they include its own credentials. A certificate that only an
// Ingress uses is not one of them: no pod is replaced when it is renewed.
func refsOf(service plan.Service) []plan.SecretRef {
	places := make(map[plan.SecretRef]int)
	for _, ref := range service.SecretRefs() {
		places[ref]++
	}
	for _, ref := range service.Certificates() {
		places[ref]--
	}
	set := make(map[plan.SecretRef]bool)
	for ref, n := range places {
		if n > 0 {
			set[ref] = true
		}
	}
	if service.Workload.Database != nil && service.Chart == nil {
		for _, key := range []string{"user", "password", "database"} {
			set[plan.SecretRef{Service: service.Name, Key: key}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b plan.SecretRef) int {
		return strings.Compare(fmt.Sprintf("%q", a), fmt.Sprintf("%q", b))
	})
}

// given returns the value of a secret from a source outside the cluster.
func (d *Deployer) given(ctx context.Context, ref plan.SecretRef) (value []byte, ok bool, err error) {
	if d.opts.Secrets == nil || ref.Service != "" {
		return nil, false, nil
	}
	secret, err := d.opts.Secrets.Secret(ctx, ref)
	switch {
	case errors.Is(err, runtime.ErrNotFound):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	return []byte(secret.Reveal()), true, nil
}

// newPassword returns a password that needs no quoting anywhere.
func newPassword() (string, error) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 32)
	for i := range out {
		for {
			var b [1]byte
			if _, err := io.ReadFull(rand.Reader, b[:]); err != nil {
				return "", err
			}
			if n := int(b[0]); n < 256/len(letters)*len(letters) {
				out[i] = letters[n%len(letters)]
				break
			}
		}
	}
	return string(out), nil
}
