package ui

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/scan"
)

// Scan writes what scanners have found in the images of an environment: a line for each image, and one
// for each finding.
func Scan(w io.Writer, inv *scan.Inventory) error {
	if len(inv.Images) == 0 {
		_, err := fmt.Fprintln(w, "no image is deployed")
		return err
	}
	risks := append([]plan.Risk{plan.RiskUnknown}, plan.Risks()[1:]...)
	slices.Reverse(risks)
	err := table(w, func(row func(...string)) {
		cells := []string{"SERVICE", "SCANNED"}
		for _, r := range risks {
			cells = append(cells, strings.ToUpper(string(r)))
		}
		row(append(cells, "IMAGE")...)
		for _, im := range inv.Images {
			cells := []string{ofService(im.Service, clean(im.Name)), scannedAt(im)}
			for _, r := range risks {
				n := "-"
				if !im.At.IsZero() {
					n = strconv.Itoa(countRisk(im.Findings, r))
				}
				cells = append(cells, n)
			}
			row(append(cells, clean(im.Image))...)
		}
	})
	if err != nil {
		return err
	}
	if err := findings(w, inv); err != nil {
		return err
	}
	for _, im := range inv.Images {
		if err := notRead(w, im.Service, im.Name, im.Image, im.Error); err != nil {
			return err
		}
	}
	return nil
}

func countRisk(all []scan.Finding, r plan.Risk) (n int) {
	for _, f := range all {
		if f.Severity == r {
			n++
		}
	}
	return n
}

// scannedAt says when an image was scanned, or why it has no report.
func scannedAt(im scan.Image) string {
	switch im.Why {
	case scan.None:
		return "never"
	case scan.ByTag:
		return unknownByTag
	case scan.UnknownImages:
		return unknownImages
	case scan.Unreadable:
		return "not read"
	}
	return im.At.UTC().Format(time.RFC3339)
}

// findings writes each finding once, with the services that have it.
func findings(w io.Writer, inv *scan.Inventory) error {
	in := make(map[scan.Finding][]string)
	var all []scan.Finding
	for _, im := range inv.Images {
		for _, f := range im.Findings {
			if in[f] == nil {
				all = append(all, f)
			}
			if s := ofService(im.Service, clean(im.Name)); !slices.Contains(in[f], s) {
				in[f] = append(in[f], s)
			}
		}
	}
	above := 0
	if len(all) > 0 {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		slices.SortStableFunc(all, func(a, b scan.Finding) int { return b.Severity.Rank() - a.Severity.Rank() })
		err := table(w, func(row func(...string)) {
			row("SEVERITY", "ID", "PACKAGE", "VERSION", "FIXED", "SERVICES", "")
			for _, f := range all {
				note := ""
				switch {
				case f.Above:
					above++
					note = "above max"
				case f.Ignored != "":
					note = "ignored: " + f.Ignored
				}
				row(string(f.Severity), clean(f.ID), dash(f.Package), dash(f.Version), dash(f.Fixed), strings.Join(in[f], ", "), clean(note))
			}
		})
		if err != nil {
			return err
		}
	}
	text := count(len(all), "finding")
	if above > 0 {
		text += fmt.Sprintf(", %d above max=%q", above, inv.Max)
	}
	_, err := fmt.Fprintf(w, "\n%s\n", text)
	return err
}

// dash replaces an empty cell, and makes others safe.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return clean(text)
}

// scannedText describes the result of a scan.
func scannedText(b runtime.Scanned) string {
	var parts []string
	for _, n := range []struct {
		n    int
		risk plan.Risk
	}{{b.Critical, plan.RiskCritical}, {b.High, plan.RiskHigh}, {b.Medium, plan.RiskMedium}, {b.Low, plan.RiskLow}, {b.Unknown, plan.RiskUnknown}} {
		if n.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.n, n.risk))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no findings"}
	}
	return fmt.Sprintf("scanned %s: %s", short(b.Image), strings.Join(parts, ", "))
}
