package sbom

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// The parts of SPDX 2.3 that are written.
type (
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
		SPDXID           string         `json:"SPDXID"`
		Name             string         `json:"name"`
		VersionInfo      string         `json:"versionInfo,omitempty"`
		DownloadLocation string         `json:"downloadLocation"`
		FilesAnalyzed    bool           `json:"filesAnalyzed"`
		Checksums        []spdxChecksum `json:"checksums,omitempty"`
		LicenseConcluded string         `json:"licenseConcluded"`
		LicenseDeclared  string         `json:"licenseDeclared"`
		CopyrightText    string         `json:"copyrightText"`
		Purpose          string         `json:"primaryPackagePurpose,omitempty"`
		ExternalRefs     []spdxRef      `json:"externalRefs,omitempty"`
		Comment          string         `json:"comment,omitempty"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
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

// Words of SPDX.
const (
	spdxRoot    = "SPDXRef-DOCUMENT" // the identifier of a document in itself
	noAssertion = "NOASSERTION"      // the value of a field that is not known
)

// SPDX returns the inventory as a document of SPDX 2.3. It describes each image once, however many
// services have it; an image without packages says why in a comment. tool is what has made the
// document, such as pipe-1.2.
func (inv *Inventory) SPDX(tool string, created time.Time) ([]byte, error) {
	d := newSPDX(inv.Pipeline+"/"+inv.Environment, tool, created)
	seen := make(map[string]bool)
	for _, im := range inv.Images {
		key := im.Image
		if key == "" {
			key = im.Service // its images are not known
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		p := spdxPackage{Name: key, Purpose: "CONTAINER", Comment: im.comment()}
		if digest := im.digest(); digest != "" {
			hex := strings.TrimPrefix(string(digest), "sha256:")
			p.Name, _, _ = strings.Cut(im.Image, "@")
			p.VersionInfo = string(digest)
			p.Checksums = []spdxChecksum{{"SHA256", hex}}
			p.ExternalRefs = purlOf(ImagePURL(p.Name, digest))
		}
		d.image(p, im.Packages)
	}
	return d.write()
}

// comment says why the packages of an image are not known, or not all.
func (im *Image) comment() string {
	switch {
	case im.Why == None:
		return "The image has no SBOM."
	case im.Why == ByTag:
		return "The image is deployed by its tag, so its digest is not known."
	case im.Why == UnknownImages:
		return "The images of this service are not known."
	case im.Why == Unreadable:
		return "An SBOM of the image could not be read: " + im.Error
	case len(im.Without) > 0:
		return "The image has no SBOM for " + strings.Join(im.Without, ", ") + "."
	}
	return ""
}

// ImagePURL returns the package URL of an image.
func ImagePURL(repository string, digest plan.Digest) string {
	name := repository[strings.LastIndexByte(repository, '/')+1:]
	return fmt.Sprintf("pkg:oci/%s@%s?repository_url=%s", url.PathEscape(name), url.QueryEscape(string(digest)), url.QueryEscape(repository))
}

func newSPDX(name, tool string, created time.Time) *spdxDocument {
	return &spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: spdxRoot, Name: name,
		CreationInfo: spdxCreation{created.UTC().Format(time.RFC3339), []string{"Tool: " + tool}},
		Packages:     []spdxPackage{}, Relationships: []spdxRelationship{},
	}
}

// image adds an image and the packages in it.
func (d *spdxDocument) image(image spdxPackage, packages []Package) {
	id := d.add(image, spdxRoot, "DESCRIBES", "")
	for _, p := range packages {
		d.add(spdxPackage{Name: p.Name, VersionInfo: p.Version, ExternalRefs: purlOf(p.PURL)}, id, "CONTAINS", p.License)
	}
}

// add adds a package and its relationship to another one, and returns its identifier.
func (d *spdxDocument) add(p spdxPackage, of, relation, license string) (id string) {
	p.SPDXID = fmt.Sprintf("SPDXRef-%d", len(d.Packages)+1)
	p.DownloadLocation, p.CopyrightText, p.LicenseConcluded, p.LicenseDeclared = noAssertion, noAssertion, noAssertion, noAssertion
	if isExpression(license) {
		p.LicenseDeclared = license
	}
	d.Packages = append(d.Packages, p)
	d.Relationships = append(d.Relationships, spdxRelationship{of, relation, p.SPDXID})
	return p.SPDXID
}

func purlOf(purl string) []spdxRef {
	if !strings.HasPrefix(purl, "pkg:") || strings.ContainsAny(purl, " \t\r\n") {
		return nil
	}
	return []spdxRef{{"PACKAGE-MANAGER", "purl", purl}}
}

// expression matches what may be an expression of identifiers of SPDX.
var expression = regexp.MustCompile(`^[A-Za-z0-9.+() -]+$`)

// isExpression reports whether a license is an expression of identifiers of SPDX that are joined by
// operators. Licenses whose texts a document defines itself are not carried over.
func isExpression(license string) bool {
	if !expression.MatchString(license) || strings.Contains(license, "LicenseRef-") || strings.Count(license, "(") != strings.Count(license, ")") {
		return false
	}
	operand := false
	for _, word := range strings.Fields(strings.NewReplacer("(", " ", ")", " ").Replace(license)) {
		operator := word == "AND" || word == "OR" || word == "WITH"
		if operator != operand {
			return false
		}
		operand = !operator
	}
	return operand
}

// write returns the document as JSON. Its namespace is made of its content, except the time.
func (d *spdxDocument) write() ([]byte, error) {
	content, err := json.Marshal([]any{d.Name, d.Packages, d.Relationships})
	if err != nil {
		return nil, err
	}
	d.DocumentNamespace = "https://github.com/pipelinefile/pipe/sbom/" + url.PathEscape(d.Name) + "/" + strings.TrimPrefix(string(plan.DigestOf(content)), "sha256:")
	return json.MarshalIndent(d, "", "  ")
}

// SPDXPredicate is the type of the predicate that [Predicate] returns.
const SPDXPredicate = "https://spdx.dev/Document"

// Predicate returns that an image has these packages, as a document of SPDX 2.3, which is the predicate of
// a statement of in-toto. of is the name of the image. The same image has the same document, whenever it is
// made.
func Predicate(of string, digest plan.Digest, packages []Package) (json.RawMessage, error) {
	d := newSPDX(of, "pipe", time.Unix(0, 0))
	hex := strings.TrimPrefix(string(digest), "sha256:")
	d.image(spdxPackage{Name: of, VersionInfo: string(digest), Purpose: "CONTAINER", Checksums: []spdxChecksum{{"SHA256", hex}}}, sorted(packages))
	return d.write()
}
