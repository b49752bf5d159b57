package build

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// An index remembers the digests of the files of one context, so that those
// that did not change are not read again. It is a file that may be lost at any
// time, and is replaced as a whole, so that many processes may use it: the last
// one wins, and loses nothing but time.
//
// A file is taken for unchanged if its size, times and number are. One that is
// changed in the moment in which it is read could keep its times, as clocks of
// file systems are coarse. So what was changed shortly before it was read is not
// remembered, and is read again the next time.
type index struct {
	key  string
	path string // empty: nothing is kept
}

// A stamp is what tells that a file was changed.
type stamp struct {
	size, mtime, ctime int64
	inode              uint64
}

type indexed struct {
	stamp stamp
	sum   sum
}

func newIndex(cacheDir, key string) *index {
	hashed := sha256.Sum256([]byte(key))
	ix := &index{key: hex.EncodeToString(hashed[:16])}
	if cacheDir != "" {
		ix.path = filepath.Join(cacheDir, "index", ix.key)
	}
	return ix
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime().UnixNano()}
	s.ctime, s.inode = inode(info)
	return s
}

// magic begins an index. Another version of what follows has another one.
const magic = "pipe index 1\n"

// load returns what is known of files, by path; nothing if there is no index or
// it is damaged.
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
		e.stamp.size = int64(binary.LittleEndian.Uint64(body))
		e.stamp.mtime = int64(binary.LittleEndian.Uint64(body[8:]))
		e.stamp.ctime = int64(binary.LittleEndian.Uint64(body[16:]))
		e.stamp.inode = binary.LittleEndian.Uint64(body[24:])
		copy(e.sum[:], body[32:])
		known[path] = e
		body = body[fixed:]
	}
	return known
}

// save remembers the files of entries that were not changed shortly before
// began. That it cannot is no error: the next run takes longer.
func (ix *index) save(entries []entry, stamps []stamp, began time.Time) {
	if ix.path == "" {
		return
	}
	data := []byte(magic)
	for i := range entries {
		e, s := &entries[i], stamps[i]
		if !e.mode.IsRegular() || !settled(s, began) {
			continue
		}
		data = binary.AppendUvarint(data, uint64(len(e.path)))
		data = append(data, e.path...)
		data = binary.LittleEndian.AppendUint64(data, uint64(s.size))
		data = binary.LittleEndian.AppendUint64(data, uint64(s.mtime))
		data = binary.LittleEndian.AppendUint64(data, uint64(s.ctime))
		data = binary.LittleEndian.AppendUint64(data, s.inode)
		data = append(data, e.sum[:]...)
	}
	check := sha256.Sum256(data[len(magic):])
	data = append(data, check[:]...)
	dir := filepath.Dir(ix.path)
	if os.MkdirAll(dir, 0o700) != nil {
		return
	}
	file, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return
	}
	_, err = file.Write(data)
	if file.Close() != nil || err != nil || os.Rename(file.Name(), ix.path) != nil {
		os.Remove(file.Name())
	}
}

// settled says whether a file with the stamp, looked at after began, would have
// another stamp if it were changed since.
func settled(s stamp, began time.Time) bool {
	coarse := 100 * time.Millisecond
	if s.mtime%1e9 == 0 {
		coarse = 2 * time.Second // a file system that keeps seconds alone
	}
	return max(s.mtime, s.ctime) < began.Add(-coarse).UnixNano()
}
