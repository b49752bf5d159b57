package runtime

import (
	"errors"
	"fmt"
	"strings"
)

// An ImagesError lists the images of a service that cannot be deployed, because they are not
// found or cannot be copied.
type ImagesError struct {
	Images []ImageFailure // at least one
}

// An ImageFailure is an image that cannot be deployed.
type ImageFailure struct {
	Ref string // as it is named; empty: the image is built
	In  string // where, such as "chart web: deployment web, container proxy"; empty: in the service itself
	Err error
}

// Error returns a sentence for each cause, with the images that have it.
func (e *ImagesError) Error() string {
	var texts []string
	for _, same := range e.byCause() {
		texts = append(texts, same.sentence())
	}
	return strings.Join(texts, "; ")
}

func (e *ImagesError) sentence() string {
	if len(e.Images) == 1 {
		return e.Images[0].text()
	}
	text := causeOf(e, "")
	for i, im := range e.Images {
		if im.Ref != "" {
			text += [...]string{": ", ", "}[min(i, 1)] + im.Ref
			if im.In != "" {
				text += " (" + im.In + ")"
			}
		}
	}
	return text
}

// Unwrap returns the errors of the images.
func (e *ImagesError) Unwrap() []error {
	errs := make([]error, len(e.Images))
	for i, im := range e.Images {
		errs[i] = im.Err
	}
	return errs
}

func (f ImageFailure) text() string {
	if f.In == "" {
		return f.Err.Error()
	}
	return f.In + ": " + f.Err.Error()
}

// byCause returns an error for each cause, in the order of the first image of each.
func (e *ImagesError) byCause() []*ImagesError {
	var causes []*ImagesError
	at := make(map[string]int)
	for _, im := range e.Images {
		text := causeOf(im.Err, im.Err.Error())
		i, known := at[text]
		if !known {
			i = len(causes)
			at[text] = i
			causes = append(causes, &ImagesError{})
		}
		causes[i].Images = append(causes[i].Images, im)
	}
	return causes
}

// causeOf returns the text that errors of the same cause share: that of a [CommonError], or
// that of the first image of an [ImagesError]. Without either it is text.
func causeOf(err error, text string) string {
	var common *CommonError
	var images *ImagesError
	switch {
	case errors.As(err, &common):
		return common.Text
	case errors.As(err, &images):
		return images.Images[0].Err.Error()
	}
	return text
}

// apart returns a record of a failed service for each cause that it has: its images may have
// several.
func apart(f ServiceRecord) []ServiceRecord {
	var images *ImagesError
	if !errors.As(f.Err, &images) {
		return []ServiceRecord{f}
	}
	causes := images.byCause()
	if len(causes) == 1 {
		return []ServiceRecord{f}
	}
	parts := make([]ServiceRecord, len(causes))
	for i, same := range causes {
		parts[i] = f
		parts[i].Err, parts[i].Error = same, same.Error()
	}
	return parts
}

// imagesOf returns a line for each image that has a cause: which services name it and where.
// It returns none if there is only one, in one place.
func imagesOf(failed []ServiceRecord) []string {
	var refs []string
	in := make(map[string][]string)
	for _, f := range failed {
		var images *ImagesError
		if !errors.As(f.Err, &images) {
			continue
		}
		for _, im := range images.Images {
			if im.Ref == "" {
				continue
			}
			if in[im.Ref] == nil {
				refs = append(refs, im.Ref)
			}
			place := im.In
			switch {
			case place == "":
				place = f.Service
			case len(failed) > 1:
				place = fmt.Sprintf("%s (%s)", f.Service, place)
			}
			in[im.Ref] = append(in[im.Ref], place)
		}
	}
	if len(refs) == 0 || len(refs) == 1 && len(failed) == 1 {
		return nil
	}
	lines := make([]string, len(refs))
	for i, ref := range refs {
		lines[i] = ref + ": " + strings.Join(in[ref], ", ")
	}
	return lines
}
