// Package sbom reads the SBOMs that are attached to images, in the formats in which scanners write
// them, and joins those of an environment into one document (I13).
package sbom

import (
	"cmp"
	"slices"

	"github.com/pipelinefile/pipe/plan"
)

// A Package is a package in an image, or another component of it.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	License string `json:"license,omitempty"` // usually an expression of SPDX; empty: not known
	PURL    string `json:"purl,omitempty"`    // its package URL; empty: not known
}

func (p Package) compare(o Package) int {
	return cmp.Or(cmp.Compare(p.Name, o.Name), cmp.Compare(p.Version, o.Version), cmp.Compare(p.PURL, o.PURL), cmp.Compare(p.License, o.License))
}

// Version is the version of the JSON form of an Inventory. New fields do not change it.
const Version = 1

// An Inventory is what is in the images of an environment.
type Inventory struct {
	Version     int     `json:"version"`
	Pipeline    string  `json:"pipeline"`
	Environment string  `json:"environment"`
	Images      []Image `json:"images"` // in the order of the services of the plan
	// Advice says what to do about images that are built from Dockerfiles and have no SBOM; empty: there are none.
	Advice string `json:"advice,omitempty"`
}

// An Image is an image of a service. Several services may have the same one.
type Image struct {
	Service string `json:"service"`
	Name    string `json:"name,omitempty"`  // of the image of the service, or the image that its chart names; empty: its own
	Image   string `json:"image,omitempty"` // as it is deployed; empty if Why is UnknownImages
	// Packages are those of all its SBOMs, sorted, each once.
	Packages []Package `json:"packages"`
	// Formats are those of its SBOMs; none: it has no SBOM.
	Formats []Format `json:"formats"`
	// Without are the platforms of the image that have no SBOM, if others have one.
	Without []string `json:"without,omitempty"`
	// Why is why there are no packages, or not all.
	Why Why `json:"why,omitempty"`
	// Error is what could not be read.
	Error string `json:"error,omitempty"`
}

// A Why says why the packages of an image are not known.
type Why string

// Why the packages of an image are not known.
const (
	None          Why = "none"       // it has no SBOM
	ByTag         Why = "by-tag"     // it is deployed by its tag, so its digest is not known
	UnknownImages Why = "unknown"    // pipe does not know the images of the chart or the manifests
	Unreadable    Why = "unreadable" // the registry or the SBOM cannot be read
)

// Join adds the packages of a document to those of the image.
func (im *Image) Join(d *Document) {
	im.Packages = sorted(append(im.Packages, d.Packages...))
	if !slices.Contains(im.Formats, d.Format) {
		im.Formats = append(im.Formats, d.Format)
		slices.Sort(im.Formats)
	}
}

// Failed returns the number of images that could not be read.
func (inv *Inventory) Failed() (n int) {
	for _, im := range inv.Images {
		if im.Why == Unreadable {
			n++
		}
	}
	return n
}

// digest returns the digest in the reference of an image; "" if it has none.
func (im *Image) digest() plan.Digest {
	_, _, digest := plan.CutImage(im.Image)
	return plan.Digest(digest)
}
