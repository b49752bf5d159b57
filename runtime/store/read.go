package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// A damage is an existing entry that cannot be read. It is not an ErrNotFound.
type damage struct {
	namespace, name string
	labels          set
	annotations     map[string]string
	err             error
}

func (e *damage) object() string { return "ConfigMap " + e.namespace + "/" + e.name }

func (e *damage) Error() string { return e.object() + " is damaged: " + e.err.Error() }

func (e *damage) Unwrap() error { return e.err }

func (e *entry) damaged(err error) *damage {
	return &damage{e.namespace, e.name, e.labels, e.annotations, err}
}

// A missingPiece is a main object that names a piece which does not exist. If they were
// read in several requests, another write may have replaced the object meanwhile.
type missingPiece struct{ namespace, name, revision, piece string }

func (e *missingPiece) Error() string {
	return fmt.Sprintf("it names the piece %s, which does not exist", e.piece)
}

// readEntry reads one entry. It retries until no piece is missing, or the same piece of
// the same revision is missing twice. Concurrent writes can delay it, but each retry
// means that one of them has made progress.
func (s *Store) readEntry(ctx context.Context, namespace, name string) (*entry, error) {
	maps := s.client.CoreV1().ConfigMaps(namespace)
	var last missingPiece
	for {
		object, err := maps.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, translate(ctx, err)
		}
		e, err := assemble(object, func(piece string) (*corev1.ConfigMap, error) {
			return maps.Get(ctx, piece, metav1.GetOptions{})
		})
		var missing *missingPiece
		if !errors.As(err, &missing) || *missing == last {
			return e, translate(ctx, err)
		}
		last = *missing
	}
}

// listEntries reads the entries with these labels, in all namespaces if namespace is
// empty, in one request, and one more each time that a piece is missing which
// was not missing before.
func (s *Store) listEntries(ctx context.Context, namespace string, with set) ([]*entry, []*damage, error) {
	var last []missingPiece
	for {
		list, err := s.client.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{LabelSelector: with.selector()})
		if err != nil {
			return nil, nil, translate(ctx, err)
		}
		entries, bad, err := assembleAll(list.Items)
		if err != nil {
			return nil, nil, err
		}
		var missing []missingPiece
		for _, d := range bad {
			var m *missingPiece
			if errors.As(d, &m) {
				missing = append(missing, *m)
			}
		}
		if !slices.ContainsFunc(missing, func(m missingPiece) bool { return !slices.Contains(last, m) }) {
			return entries, bad, nil
		}
		last = missing
	}
}

// assembleAll returns the entries of main objects and pieces.
func assembleAll(objects []corev1.ConfigMap) (entries []*entry, bad []*damage, err error) {
	pieces := make(map[string]*corev1.ConfigMap)
	for i := range objects {
		if object := &objects[i]; object.Labels[labelPiece] != "" {
			pieces[object.Namespace+"/"+object.Name] = object
		}
	}
	for i := range objects {
		object := &objects[i]
		if object.Labels[labelPiece] != "" {
			continue
		}
		e, err := assemble(object, func(piece string) (*corev1.ConfigMap, error) {
			if p := pieces[object.Namespace+"/"+piece]; p != nil {
				return p, nil
			}
			return nil, apierrors.NewNotFound(corev1.Resource("configmaps"), piece)
		})
		var d *damage
		switch {
		case errors.As(err, &d):
			bad = append(bad, d)
		case err != nil:
			return nil, nil, err
		default:
			entries = append(entries, e)
		}
	}
	return entries, bad, nil
}

// assemble returns the entry of a main object, or a *damage.
func assemble(object *corev1.ConfigMap, piece func(name string) (*corev1.ConfigMap, error)) (*entry, error) {
	e := &entry{
		namespace: object.Namespace,
		name:      object.Name,
		labels:    object.Labels,
		revision:  object.ResourceVersion,

		annotations: object.Annotations,
		text:        object.Data[fieldText],
		fields:      make(map[string][]byte),
	}
	names, err := pieceNames(object)
	if err != nil {
		return nil, e.damaged(err)
	}
	fields := object.BinaryData
	if len(names) > 0 {
		var all []byte
		for _, name := range names {
			p, err := piece(name)
			if apierrors.IsNotFound(err) {
				return nil, e.damaged(&missingPiece{object.Namespace, object.Name, object.ResourceVersion, name})
			}
			if err != nil {
				return nil, err
			}
			all = append(all, p.BinaryData["data"]...)
		}
		if err := json.Unmarshal(all, &fields); err != nil {
			return nil, e.damaged(fmt.Errorf("its pieces do not fit: %w", err))
		}
	}
	for name, data := range fields {
		if e.fields[name], err = decompress(data); err != nil {
			return nil, e.damaged(fmt.Errorf("its field %s: %w", name, err))
		}
	}
	return e, nil
}

func pieceNames(object *corev1.ConfigMap) (names []string, err error) {
	if list, ok := object.Data[fieldPieces]; ok {
		if err := json.Unmarshal([]byte(list), &names); err != nil {
			return nil, fmt.Errorf("its list of pieces: %w", err)
		}
	}
	return names, nil
}

// listMetadata lists ConfigMaps without their data.
func (s *Store) listMetadata(ctx context.Context, namespace string, with set, more ...string) ([]metav1.ObjectMeta, error) {
	selector := strings.Join(append([]string{with.selector()}, more...), ",")
	data, err := s.client.CoreV1().RESTClient().Get().
		Namespace(namespace).Resource("configmaps").
		VersionedParams(&metav1.ListOptions{LabelSelector: selector}, scheme.ParameterCodec).
		SetHeader("Accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io").
		DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var list metav1.PartialObjectMetadataList
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	metas := make([]metav1.ObjectMeta, len(list.Items))
	for i := range list.Items {
		metas[i] = list.Items[i].ObjectMeta
	}
	return metas, nil
}
