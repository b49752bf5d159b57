package build

import (
	"debug/buildinfo"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/sbom"
)

// goPackages returns the modules that the program in a file is compiled from, as the Go command has
// noted them in it, its base image, and the version of Go.
func goPackages(file string, bases []runtime.BaseImage) (all []sbom.Package, version string, err error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	version, _, _ = strings.Cut(info.GoVersion, " ") // without the experiments
	all = []sbom.Package{{Name: "stdlib", Version: version, PURL: goPURL("stdlib", strings.TrimPrefix(version, "go"))}}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == "" { // the program is not in a module
			continue
		}
		of := m
		if m.Replace != nil {
			of = m.Replace
		}
		if of.Version == "" || of.Version == "(devel)" { // it is a directory of the source
			all = append(all, sbom.Package{Name: m.Path})
			continue
		}
		all = append(all, sbom.Package{Name: of.Path, Version: of.Version, PURL: goPURL(of.Path, of.Version)})
	}
	return append(all, packagesOfBases(bases)...), version, nil
}

// packagesOfBases returns base images as packages of the image that was made of them.
func packagesOfBases(bases []runtime.BaseImage) []sbom.Package {
	var all []sbom.Package
	for _, base := range bases {
		name, _, _ := plan.CutImage(base.Image)
		all = append(all, sbom.Package{Name: base.Image, Version: string(base.Digest), PURL: sbom.ImagePURL(name, base.Digest)})
	}
	return all
}

func goPURL(path, version string) string {
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	return "pkg:golang/" + strings.Join(segments, "/") + "@" + url.QueryEscape(version)
}
