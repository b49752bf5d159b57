package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// A missingPiece is a main object that names a piece that is not there. Read in
// several requests, it is one that another write has replaced meanwhile. It is
// no ErrNotFound: what lacks a piece is there.
type missingPiece struct{ namespace, name, revision, piece string }

func (e *missingPiece) Error() string {
	return fmt.Sprintf("ConfigMap %s/%s is damaged: it names the piece %s, which does not exist; restore the piece, or delete %s to begin anew",
		e.namespace, e.name, e.piece, e.name)
}

// readWhole reads until no piece is missing, or the same one twice of the same
// revision. However often others write meanwhile, one of them got on each time.
func readWhole[T any](read func() (T, error)) (T, error) {
	var last missingPiece
	for {
		value, err := read()
		var missing *missingPiece
		if !errors.As(err, &missing) || *missing == last {
			return value, err
		}
		last = *missing
	}
}

// readEntry reads one entry.
func (s *Store) readEntry(ctx context.Context, namespace, name string) (*entry, error) {
	maps := s.client.CoreV1().ConfigMaps(namespace)
	return readWhole(func() (*entry, error) {
		object, err := maps.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, translate(ctx, err)
		}
		e, err := assemble(object, func(piece string) (*corev1.ConfigMap, error) {
			return maps.Get(ctx, piece, metav1.GetOptions{})
		})
		return e, translate(ctx, err)
	})
}

// listEntries reads the entries with these labels, of all namespaces if it is
// empty, in one request.
func (s *Store) listEntries(ctx context.Context, namespace string, with set) ([]*entry, error) {
	return readWhole(func() ([]*entry, error) {
		list, err := s.client.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{LabelSelector: with.selector()})
		if err != nil {
			return nil, translate(ctx, err)
		}
		pieces := make(map[string]*corev1.ConfigMap)
		for i := range list.Items {
			if object := &list.Items[i]; object.Labels[labelPiece] != "" {
				pieces[object.Namespace+"/"+object.Name] = object
			}
		}
		var entries []*entry
		for i := range list.Items {
			object := &list.Items[i]
			if object.Labels[labelPiece] != "" {
				continue
			}
			e, err := assemble(object, func(piece string) (*corev1.ConfigMap, error) {
				if p := pieces[object.Namespace+"/"+piece]; p != nil {
					return p, nil
				}
				return nil, apierrors.NewNotFound(corev1.Resource("configmaps"), piece)
			})
			if err != nil {
				return nil, err
			}
			entries = append(entries, e)
		}
		return entries, nil
	})
}

// assemble returns the entry of a main object.
func assemble(object *corev1.ConfigMap, piece func(name string) (*corev1.ConfigMap, error)) (*entry, error) {
	e := &entry{
		namespace: object.Namespace,
		name:      object.Name,
		revision:  object.ResourceVersion,

		annotations: object.Annotations,
		text:        object.Data[fieldText],
		fields:      make(map[string][]byte),
	}
	names, err := pieceNames(object)
	if err != nil {
		return nil, err
	}
	fields := object.BinaryData
	if len(names) > 0 {
		var all []byte
		for _, name := range names {
			p, err := piece(name)
			if apierrors.IsNotFound(err) {
				return nil, &missingPiece{object.Namespace, object.Name, object.ResourceVersion, name}
			}
			if err != nil {
				return nil, err
			}
			all = append(all, p.BinaryData["data"]...)
		}
		if err := json.Unmarshal(all, &fields); err != nil {
			return nil, fmt.Errorf("the pieces of %s do not fit: %w", object.Name, err)
		}
	}
	for name, data := range fields {
		if e.fields[name], err = decompress(data); err != nil {
			return nil, fmt.Errorf("field %s of %s: %w", name, object.Name, err)
		}
	}
	return e, nil
}

func pieceNames(object *corev1.ConfigMap) (names []string, err error) {
	if list, ok := object.Data[fieldPieces]; ok {
		if err := json.Unmarshal([]byte(list), &names); err != nil {
			return nil, fmt.Errorf("the list of pieces of %s: %w", object.Name, err)
		}
	}
	return names, nil
}

// listMetadata lists ConfigMaps without what is in them.
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
