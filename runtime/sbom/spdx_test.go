package sbom_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdxlib"

	"github.com/pipelinefile/pipe/runtime/sbom"
)

// TestSPDX: the document is valid, describes each image once, and can be read again.
func TestSPDX(t *testing.T) {
	t.Parallel()
	ref := "127.0.0.1:5000/api@sha256:" + strings.Repeat("a", 64)
	api := sbom.Image{Service: "api", Image: ref, Formats: []sbom.Format{sbom.SPDX}, Without: []string{"linux/arm64"}, Packages: []sbom.Package{
		{Name: "b", Version: "1", License: "MIT AND (ISC OR Zlib)", PURL: "pkg:apk/alpine/b@1"},
		{Name: "c\x1b[31m", License: "LicenseRef-1", PURL: "not a purl"},
		{Name: "d", License: "Public Domain"}, {Name: "e", License: "(MIT"},
	}}
	worker := api
	worker.Service = "worker"
	inv := &sbom.Inventory{Pipeline: "shop", Environment: "main", Images: []sbom.Image{
		api, worker,
		{Service: "cache", Image: "redis:7", Why: sbom.ByTag},
		{Service: "old", Image: "127.0.0.1:5000/old@sha256:" + strings.Repeat("b", 64), Why: sbom.None},
		{Service: "chart", Why: sbom.UnknownImages},
		{Service: "bad", Image: "127.0.0.1:5000/bad@sha256:" + strings.Repeat("c", 64), Why: sbom.Unreadable, Error: "half a blob"},
	}}
	data, err := inv.SPDX("pipe-1", time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	d, err := spdxjson.Read(bytes.NewReader(data))
	if err == nil {
		err = spdxlib.ValidateDocument(d)
	}
	if err != nil {
		t.Fatalf("%v:\n%s", err, data)
	}
	images, err := spdxlib.GetDescribedPackageIDs(d)
	if err != nil || len(images) != 5 {
		t.Errorf("it describes %v, %v, want 5 images", images, err)
	}
	var got []string
	for _, p := range d.Packages {
		got = append(got, strings.Join([]string{p.PackageName, p.PackageVersion, p.PackageLicenseDeclared, p.PackageComment}, "|"))
	}
	want := []string{
		"127.0.0.1:5000/api|sha256:" + strings.Repeat("a", 64) + "|NOASSERTION|The image has no SBOM for linux/arm64.",
		"b|1|MIT AND (ISC OR Zlib)|", "c\x1b[31m||NOASSERTION|", "d||NOASSERTION|", "e||NOASSERTION|",
		"redis:7||NOASSERTION|The image is deployed by its tag, so its digest is not known.",
		"127.0.0.1:5000/old|sha256:" + strings.Repeat("b", 64) + "|NOASSERTION|The image has no SBOM.",
		"chart||NOASSERTION|The images of this service are not known.",
		"127.0.0.1:5000/bad|sha256:" + strings.Repeat("c", 64) + "|NOASSERTION|An SBOM of the image could not be read: half a blob",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the packages are %q, want %q", got, want)
	}
	if of := d.Packages[0]; of.PackageChecksums[0].Algorithm != common.SHA256 ||
		of.PackageExternalReferences[0].Locator != "pkg:oci/api@sha256%3A"+strings.Repeat("a", 64)+"?repository_url=127.0.0.1%3A5000%2Fapi" {
		t.Errorf("the image is %+v, %+v", of.PackageChecksums, of.PackageExternalReferences[0])
	}
	again, err := sbom.Read(data)
	if err != nil || len(again.Packages) != 4 {
		t.Errorf("Read of it = %+v, %v, want 4 packages", again, err)
	}
	later, err := inv.SPDX("pipe-1", time.Unix(1, 0))
	if err != nil || !bytes.Contains(later, []byte(d.DocumentNamespace)) {
		t.Errorf("the same content at another time has another namespace than %s: %v", d.DocumentNamespace, err)
	}
}
