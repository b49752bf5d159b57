package sbom

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// MaxSize is the size of a document that Read accepts, in bytes. The SBOM of a large image that lists
// its files has some ten MiB.
const MaxSize = 64 << 20

// maxDepth limits in how many envelopes, and in how many other components, something may be.
const maxDepth = 8

// ErrOther is the error of [Read] for what is well-formed and not an SBOM, such as provenance or a
// signature.
var ErrOther = errors.New("it is a statement of another kind, not an SBOM")

// InTotoType is the type of a statement: of a layer, or of the payload of an envelope.
const InTotoType = "application/vnd.in-toto+json"

// A Document is an SBOM as it was attached to an image.
type Document struct {
	Format   Format
	Packages []Package // sorted, each once
	// Subjects are the digests of what the statement that it is in is about; nil: it is in none, and is
	// about what it is attached to.
	Subjects []plan.Digest
}

// A Format is that of an SBOM.
type Format string

// The formats that Read reads, as JSON.
const (
	SPDX      Format = "SPDX"
	CycloneDX Format = "CycloneDX"
)

// Read reads an SBOM, which may be anything: SPDX 2 or CycloneDX as JSON, alone or as the predicate of
// an in-toto statement, and that in an envelope (DSSE) or in a bundle of Sigstore. Signatures are not
// verified, nor is what a statement is about: see Subjects. For another statement, and for a signature,
// the error is ErrOther.
func Read(data []byte) (*Document, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("it has more than %d MiB", MaxSize>>20)
	}
	return read(data, maxDepth)
}

// An outer has the fields that distinguish the formats.
type outer struct {
	SPDXVersion   string          `json:"spdxVersion"`
	BOMFormat     string          `json:"bomFormat"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
	Subject       []subject       `json:"subject"`
	Payload       string          `json:"payload"`
	PayloadType   string          `json:"payloadType"`
	Envelope      json.RawMessage `json:"dsseEnvelope"`
	Signature     json.RawMessage `json:"messageSignature"`
}

// A subject is what a statement is about.
type subject struct {
	Digest struct {
		SHA256 string `json:"sha256"`
	} `json:"digest"`
}

func read(data []byte, depth int) (*Document, error) {
	if depth == 0 {
		return nil, errors.New("it is in too many envelopes")
	}
	if trimmed := bytes.TrimSpace(data); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, errors.New("it is neither SPDX 2 nor CycloneDX as JSON")
	}
	var o outer
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, fmt.Errorf("it is not valid JSON: %w", err)
	}
	switch {
	case strings.HasPrefix(o.SPDXVersion, "SPDX-2."):
		return readSPDX(data)
	case o.BOMFormat == "CycloneDX":
		return readCycloneDX(data)
	case o.PredicateType != "":
		if !IsSBOM(o.PredicateType) {
			return nil, ErrOther
		}
		d, err := readPredicate(o.Predicate, depth-1)
		if err != nil {
			return nil, err
		}
		d.Subjects = []plan.Digest{}
		for _, s := range o.Subject {
			if digest := plan.Digest("sha256:" + s.Digest.SHA256); digest.Valid() {
				d.Subjects = append(d.Subjects, digest)
			}
		}
		return d, nil
	case o.PayloadType != "" && o.PayloadType != InTotoType, len(o.Signature) > 0: // a signature of something else
		return nil, ErrOther
	case o.Payload != "":
		payload, err := base64.StdEncoding.DecodeString(o.Payload)
		if err != nil {
			return nil, fmt.Errorf("the payload of its envelope is not base64: %w", err)
		}
		return read(payload, depth-1)
	case len(o.Envelope) > 0:
		return read(o.Envelope, depth-1)
	}
	return nil, errors.New("it is neither SPDX 2 nor CycloneDX as JSON")
}

// IsSBOM reports whether a predicate type of in-toto is that of an SBOM that Read may read.
func IsSBOM(predicateType string) bool {
	return strings.HasPrefix(predicateType, "https://spdx.dev/Document") || strings.HasPrefix(predicateType, "https://cyclonedx.org/bom")
}

// readPredicate reads the predicate of a statement. Old versions of cosign put the document, or its
// text, into a field Data of it.
func readPredicate(predicate json.RawMessage, depth int) (*Document, error) {
	var old struct{ Data json.RawMessage }
	if err := json.Unmarshal(predicate, &old); err == nil && len(old.Data) > 0 {
		var text string
		if json.Unmarshal(old.Data, &text) == nil {
			return read([]byte(text), depth)
		}
		return read(old.Data, depth)
	}
	return read(predicate, depth)
}

func readSPDX(data []byte) (*Document, error) {
	var all struct {
		Describes []string `json:"documentDescribes"`
		Packages  []struct {
			ID        string `json:"SPDXID"`
			Name      string `json:"name"`
			Version   string `json:"versionInfo"`
			Concluded string `json:"licenseConcluded"`
			Declared  string `json:"licenseDeclared"`
			Refs      []struct {
				Type    string `json:"referenceType"`
				Locator string `json:"referenceLocator"`
			} `json:"externalRefs"`
		} `json:"packages"`
		Relationships []struct {
			Of   string `json:"spdxElementId"`
			To   string `json:"relatedSpdxElement"`
			Type string `json:"relationshipType"`
		} `json:"relationships"`
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("it is not valid SPDX: %w", err)
	}
	// What the document describes is the image, and not a package in it.
	image := make(map[string]bool)
	for _, id := range all.Describes {
		image[id] = true
	}
	for _, r := range all.Relationships {
		if r.Type == "DESCRIBES" && r.Of == spdxRoot {
			image[r.To] = true
		}
	}
	var packages, described []Package
	for _, p := range all.Packages {
		one := Package{Name: p.Name, Version: p.Version, License: cmp.Or(asserted(p.Concluded), asserted(p.Declared))}
		for _, ref := range p.Refs {
			if ref.Type == "purl" {
				one.PURL = ref.Locator
				break
			}
		}
		if image[p.ID] {
			described = append(described, one)
		} else {
			packages = append(packages, one)
		}
	}
	if len(packages) == 0 && len(described) > 1 { // it describes each package, as a list does
		packages = described
	}
	return &Document{Format: SPDX, Packages: sorted(packages)}, nil
}

// asserted returns a license, or "" if it is one of the words of SPDX for none.
func asserted(license string) string {
	if license == noAssertion || license == "NONE" {
		return ""
	}
	return license
}

type component struct {
	Type     string `json:"type"`
	Group    string `json:"group"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	PURL     string `json:"purl"`
	Licenses []struct {
		Expression string                    `json:"expression"`
		License    struct{ ID, Name string } `json:"license"`
	} `json:"licenses"`
	Components []component `json:"components"`
}

func readCycloneDX(data []byte) (*Document, error) {
	var all struct {
		Components []component `json:"components"`
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("it is not valid CycloneDX: %w", err)
	}
	var packages []Package
	var add func(of []component, depth int) error
	add = func(of []component, depth int) error {
		if depth == 0 && len(of) > 0 {
			return errors.New("it has components in too many components")
		}
		for _, c := range of {
			if c.Type != "file" {
				var licenses []string
				for _, l := range c.Licenses {
					if license := cmp.Or(l.Expression, l.License.ID, l.License.Name); license != "" {
						licenses = append(licenses, license)
					}
				}
				name := c.Name
				if c.Group != "" {
					name = c.Group + "/" + name
				}
				packages = append(packages, Package{Name: name, Version: c.Version, License: strings.Join(licenses, " AND "), PURL: c.PURL})
			}
			if err := add(c.Components, depth-1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(all.Components, maxDepth); err != nil {
		return nil, err
	}
	return &Document{Format: CycloneDX, Packages: sorted(packages)}, nil
}

// sorted returns packages that have a name, sorted, each once.
func sorted(all []Package) []Package {
	all = slices.DeleteFunc(all, func(p Package) bool { return p.Name == "" })
	slices.SortFunc(all, Package.compare)
	return slices.Compact(all)
}
