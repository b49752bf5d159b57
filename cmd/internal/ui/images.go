package ui

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// An Image is an image in the registry of a pipeline.
type Image struct {
	Repository string   `json:"repository"` // with the host
	Digest     string   `json:"digest"`
	Tags       []string `json:"tags"`
	Size       int64    `json:"size"` // bytes, of all its parts; some may belong to other images, too
	// Made is when pipe wrote the image; zero: unknown, or another program wrote it.
	Made time.Time `json:"made,omitzero"`
	// For lists the environments, or the objects in a cluster, that need it.
	For []string `json:"for"`
	// Kept is why it is kept; empty: pipe images prune can remove it.
	Kept string `json:"kept,omitempty"`
}

// Images are the images in a registry.
type Images struct {
	Version  int     `json:"version"`
	Registry string  `json:"registry"`
	Images   []Image `json:"images"`
	// Unseen lists the clusters that use the registry, but whose needs are unknown.
	Unseen []string `json:"unseen,omitempty"`
}

// Bytes formats a number of bytes: "512 B", "3.4 MiB".
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f >= 1<<10 && unit < 4 {
		f, unit = f/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %ciB", f, " KMGT"[unit])
}

// WriteImages writes a table of images, and their number.
func WriteImages(w io.Writer, list Images, now time.Time) error {
	if len(list.Images) == 0 {
		_, err := fmt.Fprintf(w, "no images in registry %s\n", list.Registry)
		return err
	}
	if err := ImageTable(w, list, now); err != nil {
		return err
	}
	unneeded := 0
	for _, i := range list.Images {
		if i.Kept == "" {
			unneeded++
		}
	}
	_, err := fmt.Fprintf(w, "\n%d images in registry %s, %d of them may be removed: pipe images prune\n", len(list.Images), list.Registry, unneeded)
	return err
}

// ImageTable writes a table of images.
func ImageTable(w io.Writer, list Images, now time.Time) error {
	return table(w, func(row func(...string)) {
		row("REPOSITORY", "DIGEST", "TAGS", "SIZE", "AGE", "FOR")
		for _, i := range list.Images {
			who := strings.Join(i.For, ", ")
			switch {
			case len(i.For) > 0:
			case i.Kept != "":
				who = "- (kept: " + i.Kept + ")"
			default:
				who = "-"
			}
			made := ""
			if !i.Made.IsZero() {
				made = age(now.Sub(i.Made))
			}
			var tags []string
			for _, tag := range i.Tags {
				tags = append(tags, shortTag(tag))
			}
			row(strings.TrimPrefix(i.Repository, list.Registry+"/"), shortTag(strings.TrimPrefix(i.Digest, "sha256:")), strings.Join(tags, " "), Bytes(i.Size), made, clip(clean(who)))
		}
	})
}

// shortTag returns the beginning of an identity or a digest, and other tags as they are.
func shortTag(tag string) string {
	if len(tag) == 64 {
		return tag[:12]
	}
	return tag
}
