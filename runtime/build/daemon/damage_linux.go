package daemon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The cache consists of databases, and of the content and the file systems that they refer
// to. A full disk, a power cut or a bad sector can damage any of them, and then BuildKit does
// not start, or each build fails. So they are checked before it starts: each database can be
// opened and has all its pages, the content has the sizes in the database, and the file
// systems exist. After an unclean shutdown, all pages are read as well. A damaged cache is
// removed; later builds fill it again.

// began is a file that exists while BuildKit runs. If it exists before, the last one was
// killed.
func began(root string) string { return filepath.Join(root, "running") }

// aside is the directory in which a damaged cache waits to be removed.
func aside(root string) string { return filepath.Join(root, "damaged") }

// cached returns the files and directories of the cache in root.
func cached(root string) []string {
	var all []string
	for _, pattern := range []string{"*.db", "*.bak", "runc-*"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		all = append(all, found...)
	}
	return all
}

// setAside moves the cache out of the way. remove deletes it, which may take a while, so it
// runs while BuildKit starts. back restores it, and must be called before remove.
func setAside(root string) (remove func(), back func() error, err error) {
	all := cached(root)
	if err := os.RemoveAll(aside(root)); err != nil { // of a killed process
		return nil, nil, err
	}
	if err := os.Mkdir(aside(root), 0o700); err != nil {
		return nil, nil, err
	}
	for _, path := range all {
		if err := os.Rename(path, filepath.Join(aside(root), filepath.Base(path))); err != nil {
			return nil, nil, err
		}
	}
	remove = func() { _ = os.RemoveAll(aside(root)) } // the next call removes the rest
	back = func() error {
		var err error
		for _, path := range cached(root) { // created by a start
			err = errors.Join(err, os.RemoveAll(path))
		}
		for _, path := range all {
			err = errors.Join(err, os.Rename(filepath.Join(aside(root), filepath.Base(path)), path))
		}
		return err
	}
	return remove, back, nil
}

// mended starts with the cache in root. If that is damaged, it starts with an empty one and
// reports this with note. If the start fails with an empty cache as well, the cache is not
// the cause, and is restored.
func mended[T any](root string, note func(string), start func() (T, error)) (T, error) {
	_, err := os.Stat(began(root))
	why := damaged(root, !errors.Is(err, fs.ErrNotExist))
	var started T
	if why == nil {
		if started, err = catching(start); err == nil {
			return started, os.WriteFile(began(root), nil, 0o600)
		}
	}
	remove, back, failed := setAside(root)
	if failed != nil {
		return started, errors.Join(why, err, failed)
	}
	if why == nil {
		why = err
	}
	if started, err = catching(start); err != nil {
		return started, errors.Join(err, back())
	}
	go remove()
	note(fmt.Sprintf("its cache was damaged, as by a full disk or a power cut (%v): it begins with an empty one", why))
	return started, os.WriteFile(began(root), nil, 0o600)
}

// catching calls start, and returns a panic as an error: databases panic when they find
// damage, and so does an access to a page that cannot be read.
func catching[T any](start func() (T, error)) (result T, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return start()
}

var workerID = regexp.MustCompile(`^[a-z0-9]{25}$`)

// damaged returns an error if the cache in root is damaged. With pages, it reads all pages of
// the databases.
func damaged(root string, pages bool) error {
	var files []string
	for _, pattern := range []string{"*.db", "runc-*/*.db", "runc-*/snapshots/*.db"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if err := database(file, pages); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	ids, err := filepath.Glob(filepath.Join(root, "runc-*", "workerid"))
	if err != nil {
		return err
	}
	for _, file := range ids {
		if id, err := os.ReadFile(file); err != nil || !workerID.Match(id) {
			return fmt.Errorf("%s: %w", file, errors.Join(err, errors.New("it has no identifier")))
		}
	}
	return nil
}

// database returns an error if a database is damaged, or the content that it refers to.
func database(file string, pages bool) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return errors.New("it is empty") // it would be treated as a new one
	}
	_, err = catching(func() (struct{}, error) {
		db, err := bolt.Open(file, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
		if err != nil {
			return struct{}{}, err
		}
		defer func() { _ = db.Close() }() // nothing was written
		return struct{}{}, db.View(func(tx *bolt.Tx) error {
			if tx.Size() > info.Size() {
				return fmt.Errorf("it has %d bytes of %d", info.Size(), tx.Size())
			}
			if pages {
				if err := tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return readAll(b) }); err != nil {
					return err
				}
			}
			dir := filepath.Dir(file)
			switch filepath.Base(file) {
			case "containerdmeta.db":
				return contents(tx, filepath.Join(dir, "content", "blobs"))
			case "metadata.db":
				return snapshots(tx, filepath.Join(dir, "snapshots"))
			}
			return nil
		})
	})
	return err
}

// readAll reads all pages of a bucket.
func readAll(b *bolt.Bucket) error {
	return b.ForEach(func(key, value []byte) error {
		if value == nil {
			if inner := b.Bucket(key); inner != nil {
				return readAll(inner)
			}
		}
		touch(key)
		touch(value)
		return nil
	})
}

// touch reads one byte of each page of data.
func touch(data []byte) (sum byte) {
	for i := 0; i < len(data); i += 4096 {
		sum ^= data[i]
	}
	return sum
}

// contents checks that the content in a database exists. For the layout, see package metadata
// of containerd.
func contents(tx *bolt.Tx, dir string) error {
	v1 := tx.Bucket([]byte("v1"))
	if v1 == nil {
		return nil
	}
	return v1.ForEachBucket(func(namespace []byte) error {
		blobs := v1.Bucket(namespace)
		for _, name := range []string{"content", "blob"} {
			if blobs = blobs.Bucket([]byte(name)); blobs == nil {
				return nil
			}
		}
		return blobs.ForEachBucket(func(digest []byte) error {
			algorithm, hex, ok := cut(digest)
			size, n := binary.Varint(blobs.Bucket(digest).Get([]byte("size")))
			if !ok || n <= 0 {
				return fmt.Errorf("%q is not a valid digest with a size", digest)
			}
			file := filepath.Join(dir, algorithm, hex)
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			if info.Size() != size {
				return fmt.Errorf("%s has %d bytes of %d", file, info.Size(), size)
			}
			return nil
		})
	})
}

var digestForm = regexp.MustCompile(`^([a-z0-9]+):([0-9a-f]+)$`)

func cut(digest []byte) (algorithm, hex string, ok bool) {
	m := digestForm.FindSubmatch(digest)
	if m == nil {
		return "", "", false
	}
	return string(m[1]), string(m[2]), true
}

// snapshots checks that the file systems in a database exist: see package storage of
// containerd's snapshotters.
func snapshots(tx *bolt.Tx, dir string) error {
	b := tx.Bucket([]byte("v1"))
	if b != nil {
		b = b.Bucket([]byte("snapshots"))
	}
	if b == nil {
		return nil
	}
	return b.ForEachBucket(func(key []byte) error {
		id, n := binary.Uvarint(b.Bucket(key).Get([]byte("id")))
		if n <= 0 {
			return fmt.Errorf("%q has no number", key)
		}
		_, err := os.Stat(filepath.Join(dir, strconv.FormatUint(id, 10)))
		return err
	})
}
