package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// The parts of a statement of in-toto and of SPDX 2.3 that are written.
type (
	spdxStatement struct {
		Type          string       `json:"_type"`
		PredicateType string       `json:"predicateType"`
		Predicate     spdxDocument `json:"predicate"`
	}
	spdxDocument struct {
		SPDXVersion       string             `json:"spdxVersion"`
		DataLicense       string             `json:"dataLicense"`
		SPDXID            string             `json:"SPDXID"`
		Name              string             `json:"name"`
		DocumentNamespace string             `json:"documentNamespace"`
		CreationInfo      spdxCreation       `json:"creationInfo"`
		Packages          []spdxPackage      `json:"packages"`
		Relationships     []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		SPDXID           string    `json:"SPDXID"`
		Name             string    `json:"name"`
		VersionInfo      string    `json:"versionInfo,omitempty"`
		DownloadLocation string    `json:"downloadLocation"`
		FilesAnalyzed    bool      `json:"filesAnalyzed"`
		SourceInfo       string    `json:"sourceInfo,omitempty"`
		LicenseConcluded string    `json:"licenseConcluded"`
		LicenseDeclared  string    `json:"licenseDeclared"`
		LicenseComments  string    `json:"licenseComments,omitempty"`
		CopyrightText    string    `json:"copyrightText"`
		ExternalRefs     []spdxRef `json:"externalRefs,omitempty"`
	}
	spdxRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct {
		Of   string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

const noAssertion = "NOASSERTION" // the value of a field of SPDX that is not known

// statement writes a statement of in-toto with the packages as a document of SPDX 2.3. BuildKit adds the image as its
// subject. It depends on the packages alone, and so has no time.
func statement(w io.Writer, name string, packages []component) error {
	d := spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", Name: name,
		CreationInfo: spdxCreation{"1970-01-01T00:00:00Z", []string{"Tool: pipe-sbom"}},
	}
	content := sha256.New()
	add := func(c component, of, relation string) {
		p := spdxPackage{SPDXID: fmt.Sprintf("SPDXRef-%d", len(d.Packages)+1), Name: c.name, VersionInfo: c.version,
			DownloadLocation: noAssertion, LicenseConcluded: noAssertion, LicenseDeclared: noAssertion, CopyrightText: noAssertion}
		if c.found != "" {
			p.SourceInfo = "found in /" + c.found
		}
		if isExpression(c.license) {
			p.LicenseDeclared = c.license
		} else if c.license != "" {
			p.LicenseComments = "declared as: " + c.license
		}
		if c.purl != "" {
			p.ExternalRefs = []spdxRef{{"PACKAGE-MANAGER", "purl", c.purl}}
		}
		d.Packages = append(d.Packages, p)
		d.Relationships = append(d.Relationships, spdxRelationship{of, relation, p.SPDXID})
		fmt.Fprintf(content, "%q\n", c)
	}
	add(component{name: name}, d.SPDXID, "DESCRIBES") // the image, which has no digest yet
	for _, c := range packages {
		add(c, d.Packages[0].SPDXID, "CONTAINS")
	}
	d.DocumentNamespace = "https://github.com/pipelinefile/pipe/sbom/" + name + "/" + hex.EncodeToString(content.Sum(nil))
	return json.NewEncoder(w).Encode(spdxStatement{"https://in-toto.io/Statement/v0.1", "https://spdx.dev/Document", d})
}

// identifier matches the identifier of a license, or of an exception.
var identifier = regexp.MustCompile(`^[A-Za-z0-9.+-]+$`)

// isExpression reports whether a license is an expression of identifiers of SPDX that are joined by operators. Others
// are not allowed where SPDX wants a license.
func isExpression(license string) bool {
	operand, open := false, 0
	for _, word := range strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(license)) {
		switch word {
		case "(":
			if open++; operand {
				return false
			}
			continue
		case ")":
			if open--; open < 0 || !operand {
				return false
			}
			continue
		}
		operator := word == "AND" || word == "OR" || word == "WITH"
		if operator != operand || !operator && (!identifier.MatchString(word) || strings.HasPrefix(word, "LicenseRef-")) {
			return false
		}
		operand = !operator
	}
	return operand && open == 0
}
