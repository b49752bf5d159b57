package runtime

import (
	"fmt"
	"strings"
)

// A RunError lists the services that failed, in the order of the plan.
type RunError struct {
	Failed []ServiceRecord
	// Cause is what was wrong with the run as a whole; nil: nothing.
	Cause error
}

func (e *RunError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%v; %s", e.Cause, e.services())
	}
	return e.services()
}

func (e *RunError) services() string {
	names := make([]string, len(e.Failed))
	for i, f := range e.Failed {
		names[i] = f.Service
	}
	switch causes := Causes(e.Failed); {
	case len(names) == 1:
		return fmt.Sprintf("service %s failed: %s", names[0], e.Failed[0].Error)
	case len(causes) == 1:
		text := fmt.Sprintf("%d services failed for the same reason: %s: %s", len(names), strings.Join(names, ", "), causes[0].Text)
		if images := causes[0].Images; len(images) > 0 {
			text += "; " + strings.Join(images, "; ")
		}
		return text
	}
	return fmt.Sprintf("%d services failed: %s", len(names), strings.Join(names, ", "))
}

// Unwrap returns what was wrong with the run and the errors of the services.
func (e *RunError) Unwrap() []error {
	var errs []error
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	for _, f := range e.Failed {
		if f.Err != nil {
			errs = append(errs, f.Err)
		}
	}
	return errs
}

// A Cause is a common cause of failed services.
type Cause struct {
	Text   string          // the common cause, or the error of a single service
	Failed []ServiceRecord // in the order in which they were given, each with only this cause
	// Images has a line for each image that has the cause, such as "nginx:9: web (chart web:
	// deployment web, container main), api"; nil: it concerns no image, or Text names it.
	Images []string
}

// Causes groups failed services by their causes, in the order of the first service of
// each. Services whose errors have the same text, or a [CommonError] with the same text,
// have the same cause. A service whose images have several causes, see [ImagesError], is a
// part of each.
func Causes(failed []ServiceRecord) []Cause {
	var causes []Cause
	at := make(map[string]int)
	var parts []ServiceRecord
	for _, f := range failed {
		parts = append(parts, apart(f)...)
	}
	for _, f := range parts {
		text := causeOf(f.Err, f.Error)
		i, known := at[text]
		if !known {
			i = len(causes)
			at[text] = i
			causes = append(causes, Cause{Text: text})
		}
		causes[i].Failed = append(causes[i].Failed, f)
	}
	for i, c := range causes {
		causes[i].Images = imagesOf(c.Failed)
		if len(c.Failed) == 1 && causes[i].Images == nil {
			causes[i].Text = c.Failed[0].Error
		}
	}
	return causes
}
