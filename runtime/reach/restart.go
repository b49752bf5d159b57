package reach

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
)

// A restarted container starts with the files of its image: copied files
// are gone, and copying them again happens after its program has
// started. A container is therefore restarted with another image: its current one plus a
// layer with all changes. The image of a container is one of the few fields
// of a pod that can be changed while it runs. The node then restarts the
// container in place, without the back-off that follows a crash. The release, the
// Deployment and future pods do not use that image.

// A layer is the image of a service plus a layer with all changes.
type layer struct {
	image  string
	number int // of the last update that it includes
	done   copied
	began  time.Time
	err    error // why it could not be created
}

// errNoLayer means that containers cannot be restarted because there is no registry.
var errNoLayer = errors.New("containers cannot be restarted with changed files without a registry for them")

// layer creates an image with all changes.
func (s *Syncer) layer(ctx context.Context, is *synced) *layer {
	s.mu.Lock()
	l := &layer{number: is.number, began: time.Now()}
	changes := is.since(0)
	s.mu.Unlock()
	if s.opts.Layer == nil {
		l.err = errNoLayer
		return l
	}
	l.image, l.err = s.opts.Layer(ctx, is.image, func(to io.Writer) (err error) {
		l.done, err = writeLayer(to, changes)
		return err
	})
	return l
}

// restartOne restarts a container with an image that has all changes. copyOne reports it
// when the new container runs.
func (s *Syncer) restartOne(ctx context.Context, c container, is *synced, with *layer) error {
	err := with.err
	if err == nil {
		s.mu.Lock()
		// Record it before the change is visible.
		is.layered[with.image], is.leaving[c.id], is.begun[c.place.String()] = with, true, with.began
		s.mu.Unlock()
		err = s.namespace.setImage(ctx, c.place, with.image)
	}
	s.mu.Lock()
	if err != nil {
		delete(is.leaving, c.id)
		delete(is.begun, c.place.String())
	}
	is.hasTried(c, with.number, err)
	s.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		s.send(SyncEvent{Place: c.place, Took: time.Since(with.began), Err: err})
	}
	return err
}

// setImage changes the image of a container in a running pod, which makes the node
// restart it.
func (n *Namespace) setImage(ctx context.Context, at Place, image string) error {
	type named struct {
		Name  string `json:"name"`
		Image string `json:"image"`
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"containers": []named{{at.Container, image}}}})
	if err != nil {
		return err
	}
	_, err = n.client.CoreV1().Pods(n.name).Patch(ctx, at.Pod, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "pipe-sync"})
	return err
}

// whiteout is the prefix of a file in a layer that deletes a file (see the OCI image
// specification).
const whiteout = ".wh."

// writeLayer writes changes as the layer of an image.
func writeLayer(to io.Writer, changes []runtime.SyncChange) (done copied, err error) {
	w := tar.NewWriter(to)
	for _, c := range changes {
		info, err := os.Lstat(c.Path)
		name := strings.TrimPrefix(c.To, "/")
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			done.removed++
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(path.Dir(name), whiteout+path.Base(name)), Mode: 0o600})
		case err != nil:
		case info.IsDir():
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()})
		case info.Mode().IsRegular(), info.Mode()&fs.ModeSymlink != 0:
			var n int64
			n, err = packOne(w, c.Path, name)
			done.files, done.bytes = done.files+1, done.bytes+n
		}
		if err != nil {
			return done, err
		}
	}
	return done, w.Close()
}
