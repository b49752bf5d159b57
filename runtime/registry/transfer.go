package registry

import (
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pipelinefile/pipe/runtime"
)

// tick is how often a transfer is reported at most.
const tick = 100 * time.Millisecond

// A transfer counts what of an image is in its place.
type transfer struct {
	image string
	of    int64
	emit  runtime.Emit

	mu    sync.Mutex
	bytes int64             // guarded by mu, as are the next two
	blobs map[v1.Hash]int64 // how much of each
	last  time.Time         // when it was reported
}

func newTransfer(image string, blobs []v1.Descriptor, emit runtime.Emit) *transfer {
	t := &transfer{image: image, emit: emit, blobs: map[v1.Hash]int64{}, last: time.Now()}
	for _, b := range blobs {
		t.of += b.Size
	}
	emit(runtime.Transfer{Image: image, Of: t.of})
	return t
}

// set says how much of a blob there is: less than before if it is sent again.
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

// end says that all is in its place.
func (t *transfer) end() {
	t.emit(runtime.Transfer{Image: t.image, Bytes: t.of, Of: t.of})
}
