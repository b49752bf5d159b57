package build

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pipelinefile/pipe/plan"
)

// written runs the command, and returns the image that it has written: an OCI image layout, or an
// archive of one or of docker. Nothing is read through a link that leads out of the source or of the
// temporary directory.
func (r *programs) written(ctx context.Context) (remote.Taggable, error) {
	dir, name, shown := r.scratch, outputName, "$"+plan.OutputVariable
	if out := r.spec.Command.Output; out != "" {
		dir, name, shown = r.dir, filepath.FromSlash(out), out
		if err := removeStale(dir, name); err != nil {
			return nil, problem(r.spec, fmt.Errorf("remove the image of an earlier run from %s: %w", out, err), "")
		}
	}
	if err := r.run(ctx, r.command()); err != nil {
		return nil, err
	}
	image, has, err := written(dir, name, r.scratch, r.spec.Command.Image)
	switch {
	case errors.Is(err, errNothing):
		return nil, r.wrong(fmt.Errorf("the command has written no image to %s", shown))
	case errors.Is(err, syscall.ENOSPC): // the command itself has ended well
		full := problem(r.spec, fmt.Errorf("unpack the image: the disk of %s is full: %w", r.scratch, err), "")
		return nil, roomFor(full)
	case err != nil:
		return nil, r.wrong(fmt.Errorf("the command has not written an image to %s: %w", shown, err))
	}
	for _, want := range r.platforms {
		if !slices.Contains(has, normal(want)) {
			return nil, r.wrong(fmt.Errorf("the image that the command has written is for %s, not for %s, which is in $%s", strings.Join(has, ", "), want, plan.PlatformsVariable))
		}
	}
	return image, nil
}

// errNothing says that nothing was written.
var errNothing = errors.New("it does not exist")

// normal returns the usual name of a platform.
func normal(platform string) string {
	p, err := platforms.Parse(platform)
	if err != nil {
		return platform
	}
	return platforms.Format(platforms.Normalize(p))
}

// removeStale removes the image that an earlier run has left at a name below a directory, so that it
// is not taken for one of this run. What is not an image is left, and refused later.
func removeStale(dir, name string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // it was only read
	info, err := root.Lstat(name)
	switch {
	case err != nil:
		return nil //nolint:nilerr // it does not exist, or is outside, which is refused later
	case info.Mode()&fs.ModeSymlink != 0:
		return root.Remove(name) // the link
	case info.IsDir():
		if _, err := root.Lstat(filepath.Join(name, ocispecs.ImageLayoutFile)); err != nil {
			return nil //nolint:nilerr // it is not a layout
		}
		return root.RemoveAll(name)
	case !info.Mode().IsRegular():
		return nil
	}
	file, err := root.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := tar.NewReader(file).Next(); err == nil {
		return root.Remove(name)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := gzip.NewReader(file); err == nil {
		return root.Remove(name)
	}
	return nil
}

// written reads the image at a name below a directory, and returns its platforms. If several are
// there, it is the one that is called image. It writes temporary files into scratch.
func written(dir, name, scratch, image string) (remote.Taggable, []string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close() //nolint:errcheck // it was only read
	if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errNothing
	}
	info, err := root.Stat(name)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("it is a link that leads out of its directory, or nowhere: %w", err)
	case info.IsDir():
		return readLayout(root, name, image)
	case !info.Mode().IsRegular():
		return nil, nil, errors.New("it is neither a directory nor a file")
	}
	open := func() (io.ReadCloser, error) { // also when the image is pushed
		again, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		defer again.Close() //nolint:errcheck // it was only read
		return again.Open(name)
	}
	if open, err = unzipped(open, scratch); err != nil {
		return nil, nil, err
	}
	return readArchive(open, scratch, image)
}

// unzipped returns a function that opens the archive that open opens, without compression.
func unzipped(open tarball.Opener, scratch string) (tarball.Opener, error) {
	from, err := open()
	if err != nil {
		return nil, err
	}
	defer from.Close()
	zip, err := gzip.NewReader(from)
	if err != nil {
		return open, nil //nolint:nilerr // it is not compressed
	}
	plain := filepath.Join(scratch, "unzipped.tar")
	to, err := os.Create(plain)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(to, zip)
	return func() (io.ReadCloser, error) { return os.Open(plain) }, errors.Join(err, to.Close())
}

// blobName matches the blobs of a layout, whose other files are not used.
var blobName = regexp.MustCompile(`^blobs/sha256/[0-9a-f]{64}$`)

// readArchive reads an archive. Those of newer versions of docker are both: that of a layout has all
// digests.
func readArchive(open tarball.Opener, scratch, image string) (remote.Taggable, []string, error) {
	dir := filepath.Join(scratch, "layout")
	names, err := extract(open, dir)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("it is not a tar archive, or it is damaged: %w", err)
	case names[ocispecs.ImageLayoutFile] && names[ocispecs.ImageIndexFile]:
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, nil, err
		}
		defer root.Close() //nolint:errcheck // it was only read
		return readLayout(root, ".", image)
	case names["manifest.json"]:
		return readDocker(open, image)
	}
	return nil, nil, errors.New("the archive has neither the index.json of an OCI image layout nor the manifest.json of docker")
}

// extract writes the files of an archive that a layout consists of into a directory, and returns the
// names of all files of the archive.
func extract(open tarball.Opener, dir string) (map[string]bool, error) {
	from, err := open()
	if err != nil {
		return nil, err
	}
	defer from.Close()
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o700); err != nil {
		return nil, err
	}
	names := make(map[string]bool)
	for archive := tar.NewReader(from); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean(header.Name)
		if header.Typeflag != tar.TypeReg {
			continue
		}
		names[name] = true
		if name != ocispecs.ImageLayoutFile && name != ocispecs.ImageIndexFile && !blobName.MatchString(name) {
			continue
		}
		to, err := os.Create(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(to, archive)
		if err = errors.Join(err, to.Close()); err != nil {
			return nil, err
		}
	}
}
