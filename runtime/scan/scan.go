package scan

import (
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Version is the version of the JSON form of an Inventory. New fields do not change it.
const Version = 1

// An Inventory is what scanners have found in the images of an environment.
type Inventory struct {
	Version     int       `json:"version"`
	Pipeline    string    `json:"pipeline"`
	Environment string    `json:"environment"`
	Max         plan.Risk `json:"max"`    // of scan() in the deployed plan
	Images      []Image   `json:"images"` // in the order of the services of the plan
}

// An Image is an image of a service. Several services may have the same one.
type Image struct {
	Service string `json:"service"`
	Name    string `json:"name,omitempty"`  // of the image of the service, or the image that its chart names; empty: its own
	Image   string `json:"image,omitempty"` // as it is deployed; empty if Why is UnknownImages
	// At is when the image was scanned last; zero if it has no report.
	At       time.Time `json:"at,omitzero"`
	Findings []Finding `json:"findings"`
	// Why is why there is no report.
	Why Why `json:"why,omitempty"`
	// Error is what could not be read.
	Error string `json:"error,omitempty"`
}

// A Finding is a vulnerability in a package of an image.
type Finding struct {
	runtime.Finding
	Above   bool   `json:"above,omitempty"`   // it would stop a deploy
	Ignored string `json:"ignored,omitempty"` // the reason of the exception for it
}

// A Why says why the findings in an image are not known.
type Why string

// Why the findings in an image are not known.
const (
	None          Why = "none"       // it was not scanned with this scanner and these arguments
	ByTag         Why = "by-tag"     // it is deployed by its tag, so its digest is not known
	UnknownImages Why = "unknown"    // pipe does not know the images of the chart or the manifests
	Unreadable    Why = "unreadable" // the registry or the report cannot be read
)

// Findings returns the findings of a report as they are judged at a time.
func Findings(report *runtime.ScanReport, with plan.Scan, now time.Time) []Finding {
	all := make([]Finding, 0, len(report.Findings))
	above, _ := report.Judge(with, now)
	stops := make(map[runtime.Finding]bool)
	for _, f := range above {
		stops[f] = true
	}
	for _, f := range report.Findings {
		of := Finding{Finding: f, Above: stops[f]}
		if e := with.Exception(f.ID, now); e != nil && !e.Expired(now) {
			of.Ignored = e.Reason
		}
		all = append(all, of)
	}
	return all
}

// Failed returns the number of images whose reports could not be read.
func (inv *Inventory) Failed() (n int) {
	for _, im := range inv.Images {
		if im.Why == Unreadable {
			n++
		}
	}
	return n
}
