package build

import (
	"cmp"
	"encoding/json"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	provenancetypes "github.com/moby/buildkit/solver/llbsolver/provenance/types"
	"github.com/moby/buildkit/util/purl"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
)

const (
	// provenanceType is the type of the predicate that BuildKit writes, too.
	provenanceType = "https://slsa.dev/provenance/v1"
	// provenanceBuilder names who has built, also in the provenance that BuildKit writes, and provenanceBuild
	// how what pipe writes is to be read.
	provenanceBuilder = "https://" + module
	provenanceBuild   = "https://" + module + "/blob/main/docs/provenance.md"

	module = "github.com/pipelinefile/pipe"
)

// contextDigest is the name of the digest of the files of a source, which is not that of one file.
const contextDigest = "pipeContext"

// A making is what pipe knows about one build that BuildKit does not attest: for its provenance (I12).
type making struct {
	spec         plan.BuildSpec
	src          *source
	repository   string // the URL of a git source, without credentials; empty if only this machine knows it
	platform     string // of the machine that builds
	began, ended time.Time
}

// making begins to note a build.
func (b *Builder) making(spec plan.BuildSpec, src *source) making {
	k := making{spec: spec, src: src, began: time.Now(), platform: platforms.DefaultString()}
	if repo, local := b.localRepository(spec.Source.Git); src.commit != "" && !local {
		k.repository = redact.URLs(repo)
	}
	return k
}

// A material is something that an image is made of.
type material struct {
	name, uri string
	digest    map[string]string
}

// provenance returns the provenance of an image in the types of BuildKit, so that who reads the one reads the
// other. Like mode=min of BuildKit, it has no values of flags, arguments and variables: they may be secrets.
func (k making) provenance(of madeImage) *provenancetypes.ProvenancePredicateSLSA1 {
	p := &provenancetypes.ProvenancePredicateSLSA1{}
	definition, run := &p.BuildDefinition, &p.RunDetails
	definition.BuildType = provenanceBuild
	definition.InternalParameters.BuilderPlatform = k.platform
	complete := k.parameters(&definition.ExternalParameters)
	all := append(k.materials(of.platform), of.took...)
	definition.ResolvedDependencies = slices.Grow(definition.ResolvedDependencies, len(all))[:len(all)]
	for i, m := range all {
		to := &definition.ResolvedDependencies[i]
		to.Name, to.URI, to.Digest = m.name, m.uri, m.digest
	}
	run.Builder.ID = provenanceBuilder
	run.Builder.Version = make(map[string]string)
	maps.Copy(run.Builder.Version, of.tools)
	if version := pipeVersion(); version != "" {
		run.Builder.Version["pipe"] = version
	}
	began, ended := k.began.UTC(), k.ended.UTC()
	run.Metadata = &provenancetypes.ProvenanceMetadataSLSA1{}
	run.Metadata.StartedOn, run.Metadata.FinishedOn = &began, &ended
	run.Metadata.Completeness.Request = complete
	return p
}

// parameters sets what the Pipelinefile says about the build, and reports whether that is all of it.
func (k making) parameters(to *provenancetypes.ProvenanceExternalParametersSLSA1) (complete bool) {
	request := &to.Request
	request.Args = map[string]string{"platform": strings.Join(k.src.platforms(k.spec), ",")}
	if k.src.commit == "" {
		request.Locals = []*provenancetypes.LocalSource{{Name: "context"}}
	} else {
		if k.repository != "" {
			to.ConfigSource.URI = k.repository + "#" + redact.URLs(k.spec.Source.Ref)
		}
		to.ConfigSource.Digest = commitDigest(k.src.commit)
	}
	to.ConfigSource.Path = path.Clean(k.spec.Source.Path)
	switch s := k.spec; {
	case s.Go != nil:
		request.Frontend = "go_image"
		to.ConfigSource.Path = path.Join(s.Source.Path, s.Go.Package)
		complete = len(s.Go.Flags)+len(s.Go.Env) == 0
	case s.Buildpack != nil:
		request.Frontend = "buildpack"
		complete = len(s.Buildpack.Env) == 0
	default:
		request.Frontend = "command_build"
		program := s.Command.Args[0]
		if filepath.IsAbs(program) { // the directories of a machine mean nothing elsewhere
			program = filepath.Base(program)
		}
		request.Args["program"] = program
		complete = len(s.Command.Args) == 1 && len(s.Command.Env) == 0
	}
	return complete
}

// materials returns the source of the build and its images for a platform.
func (k making) materials(p *v1.Platform) []material {
	var all []material
	if k.src.commit != "" {
		all = append(all, material{name: "source", uri: k.repository, digest: commitDigest(k.src.commit)})
	} else {
		_, hex, _ := strings.Cut(string(k.src.tree.digest), ":")
		all = append(all, material{name: "context", digest: map[string]string{contextDigest: hex}})
	}
	for _, arg := range slices.Sorted(maps.Keys(k.spec.Bases)) {
		image, tag, digest := plan.CutImage(baseName(k.spec, arg))
		if tag != "" {
			image += ":" + tag
		}
		if _, of, ok := strings.Cut(k.spec.Bases[arg].Ref, "@"); ok {
			digest = of
		}
		m := material{name: strings.ToLower(arg)}
		m.uri, _ = purl.RefToPURL("docker", image, &ocispecs.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}) // as BuildKit names images
		if algorithm, hex, ok := strings.Cut(digest, ":"); ok {
			m.digest = map[string]string{algorithm: hex}
		}
		all = append(all, m)
	}
	return all
}

// commitDigest is a commit of git as BuildKit writes it.
func commitDigest(commit string) map[string]string {
	if len(commit) == 64 {
		return map[string]string{"sha256": commit}
	}
	return map[string]string{"sha1": commit}
}

// pipeVersion returns the version of pipe as the go command has noted it; empty: it is not known.
func pipeVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == module && m.Version != "(devel)" {
			return m.Version
		}
	}
	return ""
}

// maxBuildpacks limits the buildpacks in the provenance of an image.
const maxBuildpacks = 200

// cnbName and cnbVersion match names and versions of buildpacks: what a builder says is not trusted.
var (
	cnbName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9./_-]{0,199}$`)
	cnbVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+~_-]{0,99}$`)
)

func isCNBVersion(version string) bool { return cnbVersion.MatchString(version) }

// buildpacksOf returns the buildpacks that have made an image, as the lifecycle has noted them in it.
func buildpacksOf(image v1.Image) []material {
	config, err := image.ConfigFile()
	if err != nil {
		return nil
	}
	var meta struct {
		Buildpacks []struct{ Key, Version string }
	}
	if err := json.Unmarshal([]byte(config.Config.Labels[cnbLabel]), &meta); err != nil {
		return nil
	}
	var all []material
	for _, of := range meta.Buildpacks[:min(len(meta.Buildpacks), maxBuildpacks)] {
		if cnbName.MatchString(of.Key) && isCNBVersion(cmp.Or(of.Version, "0")) {
			all = append(all, material{name: of.Key, uri: strings.TrimSuffix("urn:cnb:builder:"+of.Key+"@"+of.Version, "@")})
		}
	}
	return all
}
