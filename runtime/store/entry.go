package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
)

// An entry is a set of fields under a name, stored in one ConfigMap or, if they are
// large, in several: the main object of that name and its pieces.
type entry struct {
	namespace, name string
	labels          set
	annotations     map[string]string
	text            string            // small data, readable with kubectl
	fields          map[string][]byte // data that may be large, compressed
	revision        string            // of the main object; empty: it must not exist yet
}

// maxPiece is the maximum size of the data in one object. The API server accepts objects
// of up to about 1.5 MB as JSON, in which base64 encodes three bytes as four.
const maxPiece = 700 << 10

// fieldPieces lists the names of the pieces, as JSON, in the main object of a
// large entry. The pieces contain its fields.
const fieldPieces = "pieces"

// fieldText is the name of the text of an entry.
const fieldText = "text"

// writeEntry writes e if it has not changed since it was read, and sets its
// revision. The errors are those of the API server.
//
// The names of pieces are derived from their content, so that no reader ever sees
// pieces of two writes. If this process dies at any point, readers see either
// the old entry or the new one, and the next write removes the leftovers.
//
// Pieces are removed if they existed before the main object was written and do not
// belong to it: they belong to an older entry, or to a write that died or that will be
// refused because this one came first. A later write that uses a piece
// labels it again, which makes its removal conflict. This works because each write has
// an ID, in its pieces and in the main object, so that it changes both: the server
// treats an update without changes as no update, and reports no conflict for it.
func (s *Store) writeEntry(ctx context.Context, e *entry) error {
	var id [8]byte
	rand.Read(id[:])
	object, pieces, err := e.objects(s.maxPiece, hex.EncodeToString(id[:]))
	if err != nil {
		return err
	}
	var old []metav1.ObjectMeta
	if len(pieces) > 0 || e.revision != "" {
		if old, err = s.listMetadata(ctx, e.namespace, e.labels, labelPiece); err != nil {
			return err
		}
	}
	maps := s.client.CoreV1().ConfigMaps(e.namespace)
	for _, p := range pieces {
		if err := s.writePiece(ctx, p); err != nil {
			return err
		}
	}
	var written *corev1.ConfigMap
	if e.revision == "" {
		written, err = maps.Create(ctx, object, metav1.CreateOptions{})
	} else if written, err = maps.Update(ctx, object, metav1.UpdateOptions{}); apierrors.IsNotFound(err) {
		err = apierrors.NewConflict(corev1.Resource("configmaps"), e.name, errors.New("it was deleted"))
	}
	if err != nil {
		return err
	}
	e.revision = written.ResourceVersion
	for _, m := range old {
		ours := slices.ContainsFunc(pieces, func(p *corev1.ConfigMap) bool { return p.Name == m.Name })
		if ours || !strings.HasPrefix(m.Name, e.name+".") {
			continue
		}
		// If a piece cannot be removed now, the next write removes it.
		_ = maps.Delete(ctx, m.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &m.UID, ResourceVersion: &m.ResourceVersion},
		})
	}
	return nil
}

// writePiece writes a piece. An existing piece with its name has the same content, and
// may be about to be removed by another write.
func (s *Store) writePiece(ctx context.Context, p *corev1.ConfigMap) error {
	maps := s.client.CoreV1().ConfigMaps(p.Namespace)
	for {
		_, err := maps.Create(ctx, p, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		if _, err = maps.Update(ctx, p, metav1.UpdateOptions{}); !apierrors.IsNotFound(err) {
			return err
		}
	}
}

// putEntry writes e unconditionally, and reports whether it created it.
// Fresh means that the entry is not expected to exist, which saves a request.
func (s *Store) putEntry(ctx context.Context, e *entry, fresh bool) (created bool, err error) {
	for attempt := 0; ; attempt++ {
		if !fresh {
			is, err := s.client.CoreV1().ConfigMaps(e.namespace).Get(ctx, e.name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
				e.revision = ""
			case err != nil:
				return false, err
			default:
				e.revision = is.ResourceVersion
			}
		}
		created = e.revision == ""
		err = s.writeEntry(ctx, e)
		if attempt == 10 || !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return created, err
		}
		fresh = false
	}
}

// objects returns the main object of e and its pieces, as written by the write with
// that ID.
func (e *entry) objects(maxPiece int, id string) (object *corev1.ConfigMap, pieces []*corev1.ConfigMap, err error) {
	object = &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       e.namespace,
			Name:            e.name,
			Labels:          maps.Clone(e.labels),
			Annotations:     map[string]string{annotationWrite: id},
			ResourceVersion: e.revision,
		},
		BinaryData: make(map[string][]byte),
	}
	maps.Copy(object.Annotations, e.annotations)
	if e.text != "" {
		object.Data = map[string]string{fieldText: e.text}
	}
	size := 0
	for name, data := range e.fields {
		if object.BinaryData[name], err = compress(data); err != nil {
			return nil, nil, err
		}
		size += len(object.BinaryData[name])
	}
	if size <= maxPiece {
		return object, nil, nil
	}
	// All fields are marshalled together and split as needed.
	all, err := json.Marshal(object.BinaryData)
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for part := range slices.Chunk(all, maxPiece) {
		digest := strings.TrimPrefix(string(plan.DigestOf(part)), "sha256:")
		p := object.DeepCopy()
		p.Name = fmt.Sprintf("%s.%.16s", e.name, digest)
		p.Annotations, p.ResourceVersion, p.Data = nil, "", nil
		p.Labels[labelPiece] = id
		p.BinaryData = map[string][]byte{"data": part}
		pieces = append(pieces, p)
		names = append(names, p.Name)
	}
	list, err := json.Marshal(names)
	if err != nil {
		return nil, nil, err
	}
	object.BinaryData = nil
	object.Data = map[string]string{fieldText: e.text, fieldPieces: string(list)}
	return object, pieces, nil
}

// deleteEntry removes an entry and its pieces; it is not an error if it does not exist.
func (s *Store) deleteEntry(ctx context.Context, namespace, name string) error {
	maps := s.client.CoreV1().ConfigMaps(namespace)
	object, err := maps.Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		err = maps.Delete(ctx, name, metav1.DeleteOptions{})
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	// If the list cannot be read, the pieces are removed with the environment.
	names, _ := pieceNames(object)
	for _, piece := range names {
		if err := maps.Delete(ctx, piece, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// compress is deterministic: the same input produces the same output.
func compress(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func decompress(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
