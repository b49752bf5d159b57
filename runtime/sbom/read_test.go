package sbom_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/sbom"
)

const spdx = `{"spdxVersion":"SPDX-2.3","packages":[
	{"SPDXID":"SPDXRef-image","name":"/"},
	{"SPDXID":"SPDXRef-2","name":"openssl","versionInfo":"3.1","licenseConcluded":"NOASSERTION","licenseDeclared":"Apache-2.0","externalRefs":[{"referenceType":"cpe23Type","referenceLocator":"cpe:x"},{"referenceType":"purl","referenceLocator":"pkg:apk/alpine/openssl@3.1"}]},
	{"SPDXID":"SPDXRef-3","name":"musl","licenseConcluded":"MIT"},
	{"SPDXID":"SPDXRef-4","name":"musl","licenseConcluded":"MIT"},
	{"SPDXID":"SPDXRef-5"}],
	"relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-image"}]}`

const cyclonedx = `{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"component":{"name":"image"}},"components":[
	{"type":"library","group":"@types","name":"node","version":"20","purl":"pkg:npm/%40types/node@20","licenses":[{"license":{"id":"MIT"}},{"license":{"name":"Custom"}}],
	 "components":[{"type":"library","name":"inner","licenses":[{"expression":"MIT OR ISC"}]}]},
	{"type":"file","name":"/etc/passwd"}]}`

var subject = plan.DigestOf(nil)

func statement(predicateType, predicate string) string {
	return fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"web","digest":{"sha256":%q}},{"digest":{"sha512":"02"}},{"digest":{"sha256":"x"}}],"predicateType":%q,"predicate":%s}`,
		strings.TrimPrefix(string(subject), "sha256:"), predicateType, predicate)
}

func envelope(payload string) string {
	return fmt.Sprintf(`{"payloadType":"application/vnd.in-toto+json","payload":%q,"signatures":[]}`, base64.StdEncoding.EncodeToString([]byte(payload)))
}

// TestRead: the formats and what they are in.
func TestRead(t *testing.T) {
	t.Parallel()
	asSPDX := &sbom.Document{Format: sbom.SPDX, Packages: []sbom.Package{
		{Name: "musl", License: "MIT"}, {Name: "openssl", Version: "3.1", License: "Apache-2.0", PURL: "pkg:apk/alpine/openssl@3.1"},
	}}
	asCycloneDX := &sbom.Document{Format: sbom.CycloneDX, Packages: []sbom.Package{
		{Name: "@types/node", Version: "20", License: "MIT AND Custom", PURL: "pkg:npm/%40types/node@20"}, {Name: "inner", License: "MIT OR ISC"},
	}}
	stated := func(d *sbom.Document) *sbom.Document {
		return &sbom.Document{Format: d.Format, Packages: d.Packages, Subjects: []plan.Digest{subject}}
	}
	inSPDX := statement("https://spdx.dev/Document", spdx)
	for name, test := range map[string]struct {
		data string
		want *sbom.Document
	}{
		"SPDX":          {spdx, asSPDX},
		"CycloneDX":     {"\n " + cyclonedx, asCycloneDX},
		"statement":     {inSPDX, stated(asSPDX)},
		"version":       {statement("https://spdx.dev/Document/v2.3", spdx), stated(asSPDX)},
		"envelope":      {envelope(statement("https://cyclonedx.org/bom", cyclonedx)), stated(asCycloneDX)},
		"bundle":        {`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":` + envelope(inSPDX) + `}`, stated(asSPDX)},
		"old cosign":    {envelope(statement("https://spdx.dev/Document", `{"Data":`+spdx+`,"Timestamp":""}`)), stated(asSPDX)},
		"as text":       {envelope(statement("https://spdx.dev/Document", fmt.Sprintf(`{"Data":%q}`, spdx))), stated(asSPDX)},
		"about nothing": {`{"predicateType":"https://cyclonedx.org/bom","predicate":{"bomFormat":"CycloneDX"}}`, &sbom.Document{Format: sbom.CycloneDX, Subjects: []plan.Digest{}}},
		"a list": {`{"spdxVersion":"SPDX-2.2","documentDescribes":["a","b"],"packages":[{"SPDXID":"b","name":"b"},{"SPDXID":"a","name":"a"}]}`,
			&sbom.Document{Format: sbom.SPDX, Packages: []sbom.Package{{Name: "a"}, {Name: "b"}}}},
		"empty": {`{"bomFormat":"CycloneDX"}`, &sbom.Document{Format: sbom.CycloneDX}},
	} {
		if got, err := sbom.Read([]byte(test.data)); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: Read = %+v, %v, want %+v", name, got, err, test.want)
		}
	}
	for _, other := range []string{
		statement("https://slsa.dev/provenance/v1", "{}"),
		`{"payloadType":"application/vnd.example","payload":"eA=="}`,
		`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{"signature":"eA=="}}`,
	} {
		if _, err := sbom.Read([]byte(other)); !errors.Is(err, sbom.ErrOther) {
			t.Errorf("Read(%s) = %v, want ErrOther", other, err)
		}
	}
}

// TestReadHostile: what anybody may attach to an image is refused.
func TestReadHostile(t *testing.T) {
	t.Parallel()
	many := spdx
	for range 20 {
		many = envelope(many)
	}
	components := `[]`
	for range 100 {
		components = `[{"name":"x","components":` + components + `}]`
	}
	for name, test := range map[string]struct{ data, want string }{
		"nothing":      {"", "neither SPDX 2 nor CycloneDX as JSON"},
		"tag-value":    {"SPDXVersion: SPDX-2.3\n", "neither SPDX 2 nor CycloneDX as JSON"},
		"XML":          {"<bom/>", "neither SPDX 2 nor CycloneDX as JSON"},
		"SPDX 3":       {`{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}`, "neither SPDX 2 nor CycloneDX as JSON"},
		"list":         {"[]", "neither SPDX 2 nor CycloneDX as JSON"},
		"half":         {spdx[:100], "it is not valid JSON: unexpected end of JSON input"},
		"deep":         {`{"a":` + strings.Repeat("[", 20000), "it is not valid JSON: "},
		"types":        {`{"spdxVersion":"SPDX-2.3","packages":{"name":1}}`, "it is not valid SPDX: "},
		"types too":    {`{"bomFormat":"CycloneDX","components":1}`, "it is not valid CycloneDX: "},
		"base64":       {`{"payload":"!"}`, "the payload of its envelope is not base64: "},
		"no predicate": {statement("https://spdx.dev/Document", "null"), "neither SPDX 2 nor CycloneDX as JSON"},
		"envelopes":    {many, "it is in too many envelopes"},
		"components":   {`{"bomFormat":"CycloneDX","components":` + components + `}`, "components in too many components"},
		"large":        {strings.Repeat(" ", sbom.MaxSize+1), "it has more than 64 MiB"},
	} {
		if _, err := sbom.Read([]byte(test.data)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Read = %v, want %q", name, err, test.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(spdx))
	f.Add([]byte(cyclonedx))
	f.Add([]byte(envelope(statement("https://spdx.dev/Document", spdx))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := sbom.Read(data); (d == nil) == (err == nil) {
			t.Errorf("Read = %v, %v", d, err)
		}
	})
}
