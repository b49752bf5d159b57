package build

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/sbom"
)

// cnbLabel is the label in which the lifecycle describes what it has added to an image.
const cnbLabel = "io.buildpacks.lifecycle.metadata"

// cnbSBOMs is where the layer with the SBOMs of the buildpacks has those of what the image contains. Those
// of a layer of a buildpack are in one directory, in one or several formats.
const cnbSBOMs = "layers/sbom/launch/"

// maxCNBSBOMs limits the SBOMs of one image together, in bytes.
const maxCNBSBOMs = 4 * sbom.MaxSize

// cnbFormats are the names of SBOMs, the preferred one first: an SBOM in several formats counts once.
var cnbFormats = []struct {
	name string
	read func(data []byte) ([]sbom.Package, error)
}{{"sbom.cdx.json", packagesIn}, {"sbom.spdx.json", packagesIn}, {"sbom.syft.json", packagesOfSyft}}

// made returns what is known about images of j.
func (j job) made(all []*cnbImage) []madeImage {
	made := make([]madeImage, 0, len(all))
	for _, m := range all {
		one := madeImage{image: m.image, platform: platformIn(m.platform), took: buildpacksOf(m.image)}
		one.packages, one.unknown = cnbPackages(m.image, basesOf(j.spec, plan.BuildpackRun))
		if isCNBVersion(m.builder.lifecycle) {
			one.tools = map[string]string{"lifecycle": m.builder.lifecycle}
		}
		made = append(made, one)
	}
	return made
}

// cnbPackages returns the packages that the SBOMs of buildpacks list, and the base of the image; nil: the
// buildpacks have written none.
func cnbPackages(image v1.Image, base []runtime.BaseImage) ([]sbom.Package, error) {
	layer, err := sbomLayer(image)
	if err != nil || layer == nil {
		return nil, err
	}
	content, err := layer.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	documents := make(map[string][]byte) // by path
	total := int64(0)
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the SBOMs of the buildpacks: %w", err)
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if !strings.HasPrefix(name, cnbSBOMs) || h.Typeflag != tar.TypeReg || !isSBOMFile(path.Base(name)) {
			continue
		}
		if total += h.Size; h.Size > sbom.MaxSize || total > maxCNBSBOMs {
			return nil, fmt.Errorf("the SBOMs of the buildpacks are too large: %s has %d bytes", name, h.Size)
		}
		if documents[name], err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("read the SBOMs of the buildpacks: %s: %w", name, err)
		}
	}
	var all []sbom.Package
	read := make(map[string]bool) // directories
	for _, format := range cnbFormats {
		for name, data := range documents {
			dir, file := path.Split(name)
			if file != format.name || read[dir] {
				continue
			}
			packages, err := format.read(data)
			if err != nil {
				return nil, fmt.Errorf("the SBOM %s of a buildpack: %w", strings.TrimPrefix(name, cnbSBOMs), err)
			}
			read[dir] = true
			all = append(all, packages...)
		}
	}
	if len(read) == 0 {
		return nil, nil
	}
	return append(all, packagesOfBases(base)...), nil
}

func isSBOMFile(name string) bool {
	for _, format := range cnbFormats {
		if name == format.name {
			return true
		}
	}
	return false
}

// sbomLayer returns the layer of an image with the SBOMs of its buildpacks; nil: it has none.
func sbomLayer(image v1.Image) (v1.Layer, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	var meta struct {
		SBOM struct {
			SHA string `json:"sha"`
		} `json:"sbom"`
	}
	if err := json.Unmarshal([]byte(config.Config.Labels[cnbLabel]), &meta); err != nil {
		return nil, fmt.Errorf("the label %s: %w", cnbLabel, err)
	}
	if meta.SBOM.SHA == "" {
		return nil, nil
	}
	of, err := v1.NewHash(meta.SBOM.SHA)
	if err != nil {
		return nil, fmt.Errorf("the label %s: %w", cnbLabel, err)
	}
	return image.LayerByDiffID(of)
}

// packagesIn returns the packages of an SBOM in a format that pipe sbom reads, too.
func packagesIn(data []byte) ([]sbom.Package, error) {
	document, err := sbom.Read(data)
	if err != nil {
		return nil, err
	}
	return document.Packages, nil
}

// packagesOfSyft returns the packages of an SBOM in the format of syft.
func packagesOfSyft(data []byte) ([]sbom.Package, error) {
	var all struct {
		Artifacts []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("it is not valid JSON of syft: %w", err)
	}
	packages := make([]sbom.Package, 0, len(all.Artifacts))
	for _, of := range all.Artifacts {
		packages = append(packages, sbom.Package{Name: of.Name, Version: of.Version, PURL: of.PURL})
	}
	return packages, nil
}
