package registry

import (
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pipelinefile/pipe/runtime"
)

// tick is the minimum interval between two reports of a transfer.
const tick = 100 * time.Millisecond

// A transfer counts the bytes of an image that are in the mirror.
type transfer struct {
	image string
	of    int64
	emit  runtime.Emit

	mu    sync.Mutex
	bytes int64             // guarded by mu, as are the next two
	blobs map[v1.Hash]int64 // bytes of each blob
	last  time.Time         // when it was last reported
}

func newTransfer(image string, blobs []v1.Descriptor, emit runtime.Emit) *transfer {
	t := &transfer{image: image, emit: emit, blobs: map[v1.Hash]int64{}, last: time.Now()}
	for _, b := range blobs {
		t.of += b.Size
	}
	emit(runtime.Transfer{Image: image, Of: t.of})
	return t
}

// set sets the number of bytes of a blob, which decreases if the blob is sent again.
func (t *transfer) set(blob v1.Hash, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes += bytes - t.blobs[blob]
	t.blobs[blob] = bytes
	if now := time.Now(); now.Sub(t.last) >= tick {
		t.last = now
		t.emit(runtime.Transfer{Image: t.image, Bytes: t.bytes, Of: t.of})
	}
}

// end reports that the image is complete.
func (t *transfer) end() {
	t.emit(runtime.Transfer{Image: t.image, Bytes: t.of, Of: t.of})
}
