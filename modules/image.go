package modules

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
)

// maxLayers is the maximum unpacked size of the layers of an image, in bytes.
const maxLayers = 64 << 20

// fetchImage streams the files from the layers of an image or artifact, without
// unpacking to disk. It uses Docker's credential helpers.
func fetchImage(ctx context.Context, m lock.Module, pin lock.Pin) (lock.Pin, map[string][]byte, error) {
	ref, err := name.ParseReference(m.Image())
	if err != nil {
		return pin, nil, err
	}
	if pin.Manifest != "" {
		ref = ref.Context().Digest(string(pin.Manifest))
	}
	login, err := authn.DefaultKeychain.Resolve(ref.Context())
	if err != nil {
		return pin, nil, errors.New(redact.URLs(err.Error()))
	}
	desc, err := remote.Get(ref, remote.WithContext(ctx), remote.WithAuth(login))
	if err != nil {
		return pin, nil, refused(err, login, ref.Context().RegistryStr())
	}
	if desc.MediaType.IsIndex() {
		return pin, nil, errors.New("it is an image index; a module must be a single image")
	}
	image, err := desc.Image()
	if err != nil {
		return pin, nil, err
	}
	layers, err := image.Layers()
	if err != nil {
		return pin, nil, err
	}
	c, left := &collector{}, int64(maxLayers)
	for _, layer := range layers {
		if err := c.layer(layer, &left); err != nil {
			return pin, nil, err
		}
	}
	files, err := c.result()
	return lock.Pin{Manifest: plan.Digest(desc.Digest.String())}, files, err
}

// refused converts an error of a registry. If the registry requires other
// credentials, the error says which command provides them.
func refused(err error, login authn.Authenticator, host string) error {
	var from *transport.Error
	if !errors.As(err, &from) || from.StatusCode != http.StatusUnauthorized && from.StatusCode != http.StatusForbidden {
		return errors.New(redact.URLs(err.Error()))
	}
	if login == authn.Anonymous {
		return fmt.Errorf("the registry requires credentials, and Docker's configuration has none: run: docker login %s", host)
	}
	return fmt.Errorf("the registry rejected the credentials of Docker's configuration (status %d): run: docker login %s", from.StatusCode, host)
}

// layer adds the files of a layer. left is how many bytes may still be unpacked.
func (c *collector) layer(layer v1.Layer, left *int64) error {
	r, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read
	bounded := &io.LimitedReader{R: r, N: *left}
	t := tar.NewReader(bounded)
	added := map[string]bool{}
	for {
		header, err := t.Next()
		switch {
		case bounded.N <= 0:
			return fmt.Errorf("the layers unpack to more than %d bytes", maxLayers)
		case errors.Is(err, io.EOF):
			// Read the rest, so that the digest of the layer is verified.
			if _, err := io.Copy(io.Discard, bounded); err != nil {
				return err
			}
			*left = bounded.N
			return nil
		case err != nil:
			return fmt.Errorf("a layer is not a tar archive: %w", err)
		}
		if err := c.entry(header, t, added); err != nil {
			return err
		}
	}
}

// entry adds an entry of a layer. added are the files that the layer has added so far: a
// whiteout removes only those of the layers below it (OCI image specification, "Layers").
func (c *collector) entry(header *tar.Header, r io.Reader, added map[string]bool) error {
	file := strings.TrimSuffix(strings.TrimPrefix(header.Name, "./"), "/")
	dir, base := path.Split(file)
	remove := func(gone func(name string) bool) {
		maps.DeleteFunc(c.files, func(name string, _ []byte) bool { return gone(name) && !added[name] })
	}
	if base == ".wh..wh..opq" {
		remove(func(name string) bool { return strings.HasPrefix(name, dir) })
		return nil
	}
	if gone, ok := strings.CutPrefix(base, ".wh."); ok {
		gone = dir + gone
		remove(func(name string) bool { return name == gone || strings.HasPrefix(name, gone+"/") })
		return nil
	}
	// An entry replaces what is at its path, except that a directory is merged.
	remove(func(name string) bool {
		return name == file || header.Typeflag != tar.TypeDir && strings.HasPrefix(name, file+"/")
	})
	// Links, devices and FIFOs are ignored.
	if header.Typeflag != tar.TypeReg || !lock.IsFile(file) {
		return nil
	}
	if err := c.admit(file, header.Size); err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.put(file, data)
	added[file] = true
	return nil
}
