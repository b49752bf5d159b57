package build

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"time"

	"github.com/pipelinefile/pipe/internal/atomicfile"
	"github.com/pipelinefile/pipe/runtime/internal/content"
)

// An index caches the digests of the files of one context, so that unchanged
// files are not read again. It is a file that may be deleted at any
// time, and is replaced atomically, so that several processes may use it: the last
// write wins, at the cost of some time only.
//
// A file is unchanged if its stamp is unchanged. A file that was changed shortly before
// it was read, so that its stamp is not settled, is not cached, and is read
// again the next time.
type index struct {
	key  string
	path string // empty: nothing is cached
}

type indexed struct {
	stamp content.Stamp
	sum   content.Sum
}

func newIndex(cacheDir, key string) *index {
	hashed := sha256.Sum256([]byte(key))
	ix := &index{key: hex.EncodeToString(hashed[:16])}
	if cacheDir != "" {
		ix.path = filepath.Join(cacheDir, "index", ix.key)
	}
	return ix
}

// magic is the header of an index. It changes with the version of the format.
const magic = "pipe index 1\n"

// load returns the cached digests of files, by path; nothing if the index does not exist
// or is damaged.
func (ix *index) load() map[string]indexed {
	if ix.path == "" {
		return nil
	}
	data, err := os.ReadFile(ix.path)
	if err != nil || len(data) < len(magic)+sha256.Size || string(data[:len(magic)]) != magic {
		return nil
	}
	body, check := data[len(magic):len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if s := sha256.Sum256(body); !bytes.Equal(s[:], check) {
		return nil
	}
	const fixed = 4*8 + sha256.Size
	known := make(map[string]indexed, len(body)/100)
	for len(body) > 0 {
		n, used := binary.Uvarint(body)
		if used <= 0 || uint64(len(body)-used) < n+fixed {
			return nil
		}
		path := string(body[used : used+int(n)])
		body = body[used+int(n):]
		var e indexed
		e.stamp.Size = int64(binary.LittleEndian.Uint64(body))
		e.stamp.Mtime = int64(binary.LittleEndian.Uint64(body[8:]))
		e.stamp.Ctime = int64(binary.LittleEndian.Uint64(body[16:]))
		e.stamp.Inode = binary.LittleEndian.Uint64(body[24:])
		copy(e.sum[:], body[32:])
		known[path] = e
		body = body[fixed:]
	}
	return known
}

// save caches the entries that were not changed shortly before
// began. A failure is not an error: the next run only takes longer.
func (ix *index) save(entries []entry, stamps []content.Stamp, began time.Time) {
	if ix.path == "" {
		return
	}
	data := []byte(magic)
	for i := range entries {
		e, s := &entries[i], stamps[i]
		if !e.mode.IsRegular() || !s.Settled(began) {
			continue
		}
		data = binary.AppendUvarint(data, uint64(len(e.path)))
		data = append(data, e.path...)
		data = binary.LittleEndian.AppendUint64(data, uint64(s.Size))
		data = binary.LittleEndian.AppendUint64(data, uint64(s.Mtime))
		data = binary.LittleEndian.AppendUint64(data, uint64(s.Ctime))
		data = binary.LittleEndian.AppendUint64(data, s.Inode)
		data = append(data, e.sum[:]...)
	}
	check := sha256.Sum256(data[len(magic):])
	data = append(data, check[:]...)
	_ = atomicfile.Write(ix.path, data, 0o600)
}
