package ui

import (
	"fmt"
	"io"
	"strings"

	"github.com/pipelinefile/pipe/runtime/inspect"
)

// Outdated writes the tags that have moved, and what could not be found out.
func Outdated(w io.Writer, u *inspect.Upstreams) error {
	if moved := u.Moved(); moved > 0 {
		err := table(w, func(row func(...string)) {
			row("SERVICE", "KIND", "IMAGE", "WAS", "NOW")
			for _, im := range u.Images {
				if im.Moved {
					kind := string(im.Kind)
					if im.Pinned {
						kind += ", pinned"
					}
					row(ofService(im.Service, im.Name), kind, clean(im.Image), shortDigest(string(im.Was)), shortDigest(string(im.Now)))
				}
			}
		})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "\n%d of %d tags have moved\n", moved, len(u.Images)); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(w, "none of %d tags has moved\n", len(u.Images)); err != nil {
		return err
	}
	for _, im := range u.Images {
		if im.Error != "" {
			if _, err := fmt.Fprintf(w, "%s: %s: not looked up: %s\n", ofService(im.Service, im.Name), clean(im.Image), clean(im.Error)); err != nil {
				return err
			}
		}
	}
	for _, im := range u.Unknown {
		why := ""
		switch im.Why {
		case inspect.UnrecordedImages:
			if _, err := fmt.Fprintf(w, "%s: no recorded run has the images that its chart or its manifests name\n", ofService(im.Service, im.Name)); err != nil {
				return err
			}
			continue
		case inspect.UnrecordedBases:
			why = "its base images are not recorded"
		case inspect.DeployedByTag:
			why = "it is deployed by its tag, so its digest is not known"
		case inspect.UnreadableNote:
			why = "the record of its base images cannot be read: " + clean(im.Error)
		}
		if _, err := fmt.Fprintf(w, "%s: %s: %s\n", ofService(im.Service, im.Name), clean(im.Image), why); err != nil {
			return err
		}
	}
	return nil
}

// ofService names an image of a service.
func ofService(service, name string) string {
	if name == "" {
		return service
	}
	return service + " (" + name + ")"
}

// shortDigest returns the beginning of a digest, as it is usually shown.
func shortDigest(digest string) string {
	return shortTag(strings.TrimPrefix(clean(digest), "sha256:"))
}
