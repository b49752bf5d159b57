package ui

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/runtime/sbom"
)

// SBOM writes the images of an environment with the numbers of their packages.
func SBOM(w io.Writer, inv *sbom.Inventory) error {
	if len(inv.Images) == 0 {
		_, err := fmt.Fprintln(w, "no image is deployed")
		return err
	}
	all := make(map[sbom.Package]bool)
	err := table(w, func(row func(...string)) {
		row("SERVICE", "PACKAGES", "SBOM", "IMAGE")
		for _, im := range inv.Images {
			count := "-"
			if len(im.Formats) > 0 {
				count = strconv.Itoa(len(im.Packages))
			}
			row(ofService(im.Service, clean(im.Name)), count, sbomOf(im), clean(im.Image))
			for _, p := range im.Packages {
				all[p] = true
			}
		}
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", count(len(all), "package")); err != nil {
		return err
	}
	if inv.Advice != "" {
		if _, err := fmt.Fprintf(w, "%s\n", inv.Advice); err != nil {
			return err
		}
	}
	for _, im := range inv.Images {
		if err := notRead(w, im.Service, im.Name, im.Image, im.Error); err != nil {
			return err
		}
	}
	return nil
}

// Why nothing is known about deployed images.
const (
	unknownByTag  = "not known: deployed by tag"
	unknownImages = "not known: the images of its chart or manifests are not copied"
)

// notRead writes the error of reading what is attached to an image of a service, if there is one.
func notRead(w io.Writer, service, name, image, failed string) error {
	if failed == "" {
		return nil
	}
	_, err := fmt.Fprintf(w, "%s: %s: not read: %s\n", ofService(service, clean(name)), clean(image), clean(failed))
	return err
}

// sbomOf describes the SBOMs of an image.
func sbomOf(im sbom.Image) string {
	var words []string
	for _, f := range im.Formats {
		words = append(words, string(f))
	}
	switch im.Why {
	case sbom.None:
		words = append(words, "none")
	case sbom.ByTag:
		words = append(words, unknownByTag)
	case sbom.UnknownImages:
		words = append(words, unknownImages)
	case sbom.Unreadable:
		words = append(words, "not read")
	}
	if len(im.Without) > 0 {
		words = append(words, "none for "+clean(strings.Join(im.Without, ", ")))
	}
	return strings.Join(words, ", ")
}
