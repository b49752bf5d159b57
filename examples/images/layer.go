package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// A Layer is being written: the same additions in the same order give the same bytes.
type Layer struct {
	file    *os.File
	zip     *zstd.Encoder
	tar     *tar.Writer
	plain   hash.Hash
	packed  hash.Hash
	written map[string]bool
	drop    []string // patterns of the beginnings of paths
}

// NewLayer writes the layer to a file of dir until it is finished or abandoned.
func NewLayer(dir string, drop []string) (*Layer, error) {
	file, err := os.CreateTemp(dir, "layer-")
	if err != nil {
		return nil, err
	}
	l := &Layer{file: file, plain: sha256.New(), packed: sha256.New(), written: map[string]bool{}, drop: drop}
	// Fast rather than small: the layers travel over loopback. One encoder, or the bytes depend on how many there are.
	l.zip, err = zstd.NewWriter(io.MultiWriter(file, l.packed), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	l.tar = tar.NewWriter(io.MultiWriter(l.zip, l.plain))
	return l, nil
}

// Abandon removes what was written. After Finish it does nothing.
func (l *Layer) Abandon() {
	l.file.Close()
	os.Remove(l.file.Name())
}

// Finish moves the layer into the folder, under its digest, and returns what names it and the digest of its content.
func (l *Layer) Finish(blobs string) (v1.Descriptor, v1.Hash, error) {
	defer l.file.Close()
	if err := errors.Join(l.tar.Close(), l.zip.Close()); err != nil {
		return v1.Descriptor{}, v1.Hash{}, err
	}
	size, err := l.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return v1.Descriptor{}, v1.Hash{}, err
	}
	digest, content := sum(l.packed), sum(l.plain)
	if err := errors.Join(l.file.Chmod(0o644), os.Rename(l.file.Name(), filepath.Join(blobs, digest.Hex))); err != nil {
		return v1.Descriptor{}, v1.Hash{}, err
	}
	return v1.Descriptor{MediaType: types.OCILayerZStd, Size: size, Digest: digest}, content, nil
}

func sum(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", h.Sum(nil))}
}

// Dir adds a folder.
func (l *Layer) Dir(name string, o Owner) error {
	return l.add(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: int64(o.Mode), Uid: o.ID, Gid: o.ID}, nil)
}

// Link adds a symbolic link.
func (l *Layer) Link(name, target string) error {
	return l.add(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
}

// File adds a file of root.
func (l *Layer) File(name string, mode fs.FileMode, content []byte) error {
	return l.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode), Size: int64(len(content))}, strings.NewReader(string(content)))
}

// Deb adds the content of a Debian package. Its scripts are not run.
func (l *Layer) Deb(ctx context.Context, file string) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", file)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := tar.NewReader(out)
	var h *tar.Header
	for h, err = r.Next(); err == nil; h, err = r.Next() {
		if err = l.packaged(h, r); err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		_, err = io.Copy(io.Discard, out) // what pads the archive; Wait would cut it off
	} else {
		_ = cmd.Process.Kill() // it is waited for below, and err says what is wrong
	}
	if waited := cmd.Wait(); err == nil && waited != nil {
		err = fmt.Errorf("%w: %s", waited, strings.TrimSpace(stderr.String()))
	}
	if err != nil {
		return fmt.Errorf("package %s: %w", filepath.Base(file), err)
	}
	return nil
}

// packaged adds one entry of a package, unless images do without it.
func (l *Layer) packaged(h *tar.Header, content io.Reader) error {
	name, ok := merged(h.Name)
	if !ok || l.dropped(name) {
		return nil
	}
	h.Name = name
	if h.Typeflag == tar.TypeLink {
		if h.Linkname, ok = merged(h.Linkname); !ok || l.dropped(h.Linkname) {
			return nil
		}
	}
	return l.add(h, content)
}

// merged returns where a path of a package lies in a system where /bin, /lib and their like are links into /usr; false
// for these links themselves.
func merged(name string) (string, bool) {
	name = path.Clean("/" + name)[1:]
	top, rest, below := strings.Cut(name, "/")
	if top == "bin" || top == "sbin" || strings.HasPrefix(top, "lib") {
		if !below {
			return "", false
		}
		return path.Join("usr", top, rest), true
	}
	return name, name != "" && name != "var/run" && name != "var/lock"
}

// unneeded is left out of every image: nobody reads it there.
var unneeded = []string{"usr/share/doc-base", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man",
	"usr/share/bash-completion", "usr/share/bug", "etc/init.d", "etc/logrotate.d", "usr/lib/systemd", "usr/share/perl5"}

func (l *Layer) dropped(name string) bool {
	if strings.HasPrefix(name, "usr/share/doc/") {
		return path.Base(name) != "copyright"
	}
	for _, pattern := range unneeded {
		if name == pattern || strings.HasPrefix(name, pattern+"/") {
			return true
		}
	}
	for _, pattern := range l.drop {
		// As many path elements as the pattern has, the last one by its beginning.
		n := strings.Count(pattern, "/") + 1
		parts := strings.Split(name, "/")
		if len(parts) < n {
			continue
		}
		if ok, _ := path.Match(pattern+"*", strings.Join(parts[:n], "/")); ok {
			return true
		}
	}
	return false
}

// add writes one entry. A folder that is there is left; of a file that is there already the first one stays, as nothing
// that we install replaces another's file.
func (l *Layer) add(h *tar.Header, content io.Reader) error {
	name := strings.TrimSuffix(h.Name, "/")
	if l.written[name] {
		return nil
	}
	l.written[name] = true
	if h.Typeflag == tar.TypeDir {
		name += "/"
	}
	entry := &tar.Header{Typeflag: h.Typeflag, Name: name, Linkname: h.Linkname, Mode: h.Mode, Uid: h.Uid, Gid: h.Gid, Size: h.Size, ModTime: h.ModTime}
	if err := l.tar.WriteHeader(entry); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if h.Typeflag == tar.TypeReg {
		if _, err := io.Copy(l.tar, content); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// Tree adds the files below a folder of this machine as root's, without their times, and links as what they point at. It
// goes on where keep says so.
func (l *Layer) Tree(root, name string, keep func(rel string, dir bool) bool) error {
	return l.tree(root, name, ".", keep)
}

func (l *Layer) tree(root, name, rel string, keep func(rel string, dir bool) bool) error {
	if err := l.Dir(path.Join(name, rel), Owner{0, 0o755}); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(root, rel))
	if err != nil {
		return err
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	for _, e := range entries {
		sub := path.Join(rel, e.Name())
		info, err := os.Stat(filepath.Join(root, sub)) // through links: Debian's Go is made of them
		if err != nil {
			return err
		}
		switch {
		case !keep(sub, info.IsDir()):
		case info.IsDir():
			err = l.tree(root, name, sub, keep)
		case info.Mode().IsRegular():
			var content []byte
			if content, err = os.ReadFile(filepath.Join(root, sub)); err == nil {
				err = l.File(path.Join(name, sub), 0o644|info.Mode().Perm()&0o111, content)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
