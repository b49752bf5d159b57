package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Store is a folder with images: an OCI image layout, whose index names each by NAME:TAG.
type Store string

// The annotations of images in the index.
const (
	annotationName   = "org.opencontainers.image.ref.name"
	annotationRecipe = "dev.pipelinefile.recipe" // digest of all that the image was made by
)

func (s Store) layout() string { return filepath.Join(string(s), "oci") }
func (s Store) blobs() string  { return filepath.Join(s.layout(), "blobs", "sha256") }
func (s Store) index() string  { return filepath.Join(s.layout(), "index.json") }

// Images returns the index; of a folder without one it is empty.
func (s Store) Images() (v1.IndexManifest, error) {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	data, err := os.ReadFile(s.index())
	if errors.Is(err, fs.ErrNotExist) {
		return index, nil
	}
	if err != nil {
		return index, err
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return index, fmt.Errorf("%s: %w", s.index(), err)
	}
	return index, nil
}

// Find returns the image with the name, made by the recipe.
func (s Store) Find(name string, recipe v1.Hash) (v1.Descriptor, bool, error) {
	index, err := s.Images()
	if err != nil {
		return v1.Descriptor{}, false, err
	}
	for _, d := range index.Manifests {
		if repository(d) == name && d.Annotations[annotationRecipe] == recipe.String() {
			return d, true, nil
		}
	}
	return v1.Descriptor{}, false, nil
}

// Add puts an image into the index, in place of one of the same repository.
func (s Store) Add(d v1.Descriptor) error {
	index, err := s.Images()
	if err != nil {
		return err
	}
	index.Manifests = slices.DeleteFunc(index.Manifests, func(old v1.Descriptor) bool { return repository(old) == repository(d) })
	index.Manifests = append(index.Manifests, d)
	if err := s.write(filepath.Join(s.layout(), "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	data, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return s.write(s.index(), data)
}

// Sweep removes what no image needs.
func (s Store) Sweep() error {
	index, err := s.Images()
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, d := range index.Manifests {
		m, err := s.Manifest(d.Digest)
		if err != nil {
			return err
		}
		needed[d.Digest.Hex], needed[m.Config.Digest.Hex] = true, true
		for _, l := range m.Layers {
			needed[l.Digest.Hex] = true
		}
	}
	entries, err := os.ReadDir(s.blobs())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !needed[e.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(s.blobs(), e.Name())))
		}
	}
	return err
}

// PutJSON writes a value as a blob and returns what names it.
func (s Store) PutJSON(value any, mediaType types.MediaType) (v1.Descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest, size, err := hashed(data)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: mediaType, Size: size, Digest: digest}, s.write(filepath.Join(s.blobs(), digest.Hex), data)
}

// Manifest reads the manifest of an image.
func (s Store) Manifest(digest v1.Hash) (v1.Manifest, error) {
	var m v1.Manifest
	err := s.read(digest, &m)
	return m, err
}

// Config reads the configuration of an image, from its manifest.
func (s Store) Config(m v1.Manifest) (v1.ConfigFile, error) {
	var c v1.ConfigFile
	err := s.read(m.Config.Digest, &c)
	return c, err
}

func (s Store) read(digest v1.Hash, value any) error {
	data, err := os.ReadFile(filepath.Join(s.blobs(), digest.Hex))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("%s: %w", digest, err)
	}
	return nil
}

// write replaces a file in one step: the registry reads while images are made.
func (s Store) write(name string, data []byte) error {
	if err := os.WriteFile(name+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
