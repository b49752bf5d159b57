// Package store keeps environments, the records of their runs and the leases
// of runs in Kubernetes (SPEC E1, E5, A5): no other database is needed.
//
// An environment is a ConfigMap, either in its own namespace, so that access to an
// environment is access to a namespace, or in the namespace that
// Options.Namespace names. The resource version of that ConfigMap provides optimistic
// concurrency. Plans contain no secret values. They are compressed; data that is still
// too large for one object is split into further ConfigMaps, which are
// written before the one that refers to them and removed after it (A6). A run is
// a ConfigMap, a lease is a Lease of coordination.k8s.io.
package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pipelinefile/pipe/runtime"
)

var (
	_ runtime.Store  = (*Store)(nil)
	_ runtime.Locker = (*Store)(nil)
)

// Options configure a Store. The zero value works.
type Options struct {
	// Namespace keeps the state of all environments in one namespace, where
	// records outlive their environment (--state-namespace). Default: the
	// environment's own namespace.
	Namespace string
	// KeepRuns is the number of records that are kept for each environment; default 50.
	KeepRuns int
	// LeaseDuration is how long the lease of a process that died is still held;
	// default 15 seconds. Kubernetes stores whole seconds.
	LeaseDuration time.Duration
}

// A Store keeps the state of pipe in one cluster. It is also a Locker.
type Store struct {
	client   kubernetes.Interface
	opts     Options
	maxPiece int              // bytes
	now      func() time.Time // the clock for leases

	mu   sync.Mutex
	seen map[runtime.EnvironmentKey]sighting // the last observed leases of others
}

// Open returns the store of a cluster. It makes no requests. The client may be
// shared with others; it should have a high QPS.
func Open(client kubernetes.Interface, opts Options) *Store {
	if opts.KeepRuns <= 0 {
		opts.KeepRuns = 50
	}
	if opts.LeaseDuration <= 0 {
		opts.LeaseDuration = 15 * time.Second
	}
	opts.LeaseDuration = max(opts.LeaseDuration.Truncate(time.Second), time.Second)
	return &Store{
		client:   client,
		opts:     opts,
		maxPiece: maxPiece,
		now:      time.Now,
		seen:     make(map[runtime.EnvironmentKey]sighting),
	}
}

// namespace returns the namespace of the state of an environment.
func (s *Store) namespace(key runtime.EnvironmentKey) string {
	if s.opts.Namespace != "" {
		return s.opts.Namespace
	}
	return key.Namespace()
}

// objectName returns the name of the main object of an environment. The dots
// separate the two names, which may contain hyphens.
func objectName(key runtime.EnvironmentKey) string {
	return "pipe." + key.Pipeline + "." + key.Name
}

// fieldPlan is the plan of an environment; the rest is in the text of the entry.
const fieldPlan = "plan"

// annotationExpires is when an environment expires.
const annotationExpires = "pipelinefile.github.io/expires"

// Environment implements [runtime.Store].
func (s *Store) Environment(ctx context.Context, key runtime.EnvironmentKey) (*runtime.Environment, error) {
	e, err := s.readEntry(ctx, s.namespace(key), objectName(key))
	if err == nil {
		var env *runtime.Environment
		if env, err = environmentOf(e); err == nil {
			return env, nil
		}
	}
	var d *damage
	if errors.As(err, &d) {
		return nil, &runtime.DamagedError{Key: key, Object: d.object(), Err: d.err}
	}
	return nil, fmt.Errorf("environment %s of pipeline %s: %w", key.Name, key.Pipeline, err)
}

// Environments implements [runtime.Store]. It makes one request for any number of
// environments, unless pieces are missing.
func (s *Store) Environments(ctx context.Context, pipeline string) ([]*runtime.Environment, []*runtime.DamagedError, error) {
	entries, bad, err := s.listEntries(ctx, s.opts.Namespace, labels(kindEnvironment, runtime.EnvironmentKey{Pipeline: pipeline}))
	if err != nil {
		return nil, nil, fmt.Errorf("list environments: %w", err)
	}
	var envs []*runtime.Environment
	for _, e := range entries {
		env, err := environmentOf(e)
		var d *damage
		switch {
		case err == nil && e.namespace != s.namespace(env.Key): // other stores keep theirs there
		case errors.As(err, &d):
			bad = append(bad, d)
		case err != nil:
			return nil, nil, fmt.Errorf("list environments: %w", err)
		default:
			envs = append(envs, env)
		}
	}
	var damaged []*runtime.DamagedError
	for _, d := range bad {
		key := keyOf(d.labels, d.annotations)
		if d.namespace != s.namespace(key) {
			continue
		}
		damaged = append(damaged, &runtime.DamagedError{Key: key, Object: d.object(), Err: d.err})
	}
	slices.SortFunc(envs, func(a, b *runtime.Environment) int { return compareKeys(a.Key, b.Key) })
	slices.SortFunc(damaged, func(a, b *runtime.DamagedError) int { return compareKeys(a.Key, b.Key) })
	return envs, damaged, nil
}

func compareKeys(a, b runtime.EnvironmentKey) int {
	return cmp.Or(cmp.Compare(a.Pipeline, b.Pipeline), cmp.Compare(a.Name, b.Name))
}

// environmentOf returns the environment in an entry, or a *damage.
func environmentOf(e *entry) (*runtime.Environment, error) {
	env := &runtime.Environment{}
	if err := json.Unmarshal([]byte(e.text), env); err != nil {
		return nil, e.damaged(fmt.Errorf("its state cannot be read: %w", err))
	}
	if data, ok := e.fields[fieldPlan]; ok {
		if err := json.Unmarshal(data, &env.Plan); err != nil {
			return nil, e.damaged(fmt.Errorf("its plan cannot be read: %w", err))
		}
	}
	env.Revision = e.revision
	return env, nil
}

// Save implements [runtime.Store].
func (s *Store) Save(ctx context.Context, env *runtime.Environment) error {
	e := &entry{
		namespace: s.namespace(env.Key),
		name:      objectName(env.Key),
		labels:    labels(kindEnvironment, env.Key),
		fields:    make(map[string][]byte),
		revision:  env.Revision,
	}
	e.annotations = make(map[string]string)
	if !env.Expires.IsZero() {
		e.annotations[annotationExpires] = env.Expires.UTC().Format(time.RFC3339)
	}
	if env.Key.In != "" {
		e.annotations[annotationNamespace] = env.Key.In
	}
	bare := *env
	bare.Plan = nil
	text, err := json.Marshal(bare)
	e.text = string(text)
	if err == nil && env.Plan != nil {
		e.fields[fieldPlan], err = json.Marshal(env.Plan)
	}
	if err == nil {
		err = s.inNamespace(ctx, env.Key, func() error { return s.writeEntry(ctx, e) })
	}
	if err != nil {
		return fmt.Errorf("save environment %s of pipeline %s: %w", env.Key.Name, env.Key.Pipeline, err)
	}
	env.Revision = e.revision
	return nil
}

// Expired implements [runtime.Store]. It makes one request, for the metadata of the
// environments.
func (s *Store) Expired(ctx context.Context, now time.Time) ([]runtime.EnvironmentKey, error) {
	list, err := s.listMetadata(ctx, s.opts.Namespace, labels(kindEnvironment, runtime.EnvironmentKey{}), "!"+labelPiece)
	if err != nil {
		return nil, translate(ctx, err)
	}
	var keys []runtime.EnvironmentKey
	for _, m := range list {
		key := keyOf(m.Labels, m.Annotations)
		// An unreadable expiry never expires.
		expires, err := time.Parse(time.RFC3339, m.Annotations[annotationExpires])
		if err == nil && expires.Before(now) && m.Namespace == s.namespace(key) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// Delete implements [runtime.Store]. It first deletes the main object of the
// environment, then the rest. The namespace is kept, and so are records in a separate
// namespace.
func (s *Store) Delete(ctx context.Context, key runtime.EnvironmentKey) error {
	maps := s.client.CoreV1().ConfigMaps(s.namespace(key))
	err := maps.Delete(ctx, objectName(key), metav1.DeleteOptions{})
	if err == nil || apierrors.IsNotFound(err) {
		kinds := kindEnvironment
		if s.opts.Namespace == "" {
			kinds += "," + kindRun + "," + kindPlan
		}
		ours := fmt.Sprintf("%s,%s in (%s)", labels("", key).selector(), labelKind, kinds)
		err = maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: ours})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete environment %s of pipeline %s: %w", key.Name, key.Pipeline, translate(ctx, err))
	}
	return nil
}

// translate converts errors of the API server to those of the contracts.
func translate(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)):
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w (%w)", runtime.ErrNotFound, err)
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return fmt.Errorf("%w (%w)", runtime.ErrConflict, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w (%w)", runtime.ErrNoAccess, err)
	}
	return err
}
