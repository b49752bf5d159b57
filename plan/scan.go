package plan

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// A Risk is the severity of a vulnerability.
type Risk string

// The severities (I14).
const (
	RiskNone     Risk = "none"
	RiskLow      Risk = "low"
	RiskMedium   Risk = "medium"
	RiskHigh     Risk = "high"
	RiskCritical Risk = "critical"
	// RiskUnknown is that of a vulnerability which is not rated. It counts as high.
	RiskUnknown Risk = "unknown"
)

// Risks returns those that can be the maximum of a [Scan], in ascending order.
func Risks() []Risk {
	return []Risk{RiskNone, RiskLow, RiskMedium, RiskHigh, RiskCritical}
}

// Rank orders severities. One that is not known, or is not one of the constants, has the rank of
// RiskHigh.
func (r Risk) Rank() int {
	if i := slices.Index(Risks(), r); i >= 0 {
		return i
	}
	return RiskHigh.Rank()
}

// RiskOf returns the severity of a score of CVSS: none for 0, low below 4, medium below 7, high
// below 9, else critical. A score that is not between 0 and 10 is unknown.
func RiskOf(score float64) Risk {
	switch {
	case score == 0:
		return RiskNone
	case score > 0 && score < 4:
		return RiskLow
	case score >= 4 && score < 7:
		return RiskMedium
	case score >= 7 && score < 9:
		return RiskHigh
	case score >= 9 && score <= 10:
		return RiskCritical
	}
	return RiskUnknown
}

// A Scan says how images are scanned for vulnerabilities before they are deployed, and which
// vulnerabilities may be in them (I14).
type Scan struct {
	Image   string            `json:"image"`         // of the scanner, by digest
	Command []string          `json:"command"`       // the program and its arguments
	Env     map[string]string `json:"env,omitempty"` // besides that of the image
	Max     Risk              `json:"max"`           // a finding above it stops a deploy
	Every   Duration          `json:"every"`         // after which a report is too old
	Ignore  []Exception       `json:"ignore,omitempty"`
	Pos     Pos               `json:"pos"` // of the call of scan()
}

// An Exception says until when a vulnerability is ignored, and why.
type Exception struct {
	ID     string `json:"id"` // such as "CVE-2026-12345"
	Reason string `json:"reason"`
	Until  string `json:"until"` // the last day, in UTC, such as "2027-01-31"
	Pos    Pos    `json:"pos"`   // of the call of exception()
}

// Key returns the digest of the scanner and its arguments: reports of scans with the same key can
// stand for each other.
func (s *Scan) Key() Digest {
	env := s.Env
	if len(env) == 0 {
		env = nil // as in a plan that was stored
	}
	data, _ := json.Marshal([]any{s.Image, s.Command, env}) // strings and maps of strings only
	return DigestOf(data)
}

// Expired reports whether the last day of e is over.
func (e Exception) Expired(now time.Time) bool { return now.UTC().Format(time.DateOnly) > e.Until }

// Exception returns the exception for a vulnerability, preferably one that has not expired, or nil.
// Identifiers are compared without regard to case.
func (s *Scan) Exception(id string, now time.Time) *Exception {
	var found *Exception
	for i := range s.Ignore {
		e := &s.Ignore[i]
		if strings.EqualFold(e.ID, id) && (found == nil || found.Expired(now)) {
			found = e
		}
	}
	return found
}
