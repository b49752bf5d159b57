// Package plan defines the evaluated pipeline: plain data that one evaluation
// produces and one run carries out.
//
// A plan is deterministic and serializable, and contains no secret values. Its JSON
// format is a public interface: it is versioned by [Version], and
// every change of it changes the golden files.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Version is the format version of a marshalled Plan (SPEC L9). It is incremented
// when a reader of the previous version would misread the new one.
const Version = 1

// A Plan is one pipeline evaluated for one environment.
type Plan struct {
	Version     int            `json:"version"` // [Version] of this format
	Pipeline    Pipeline       `json:"pipeline"`
	Environment EnvironmentRef `json:"environment"`        // what the plan is for
	Params      []Param        `json:"params,omitempty"`   // in the order declared
	Stages      []Stage        `json:"stages"`             // in the order in which they run (S1)
	Services    []Service      `json:"services"`           // in stage order, then in the order declared
	Builds      []BuildSpec    `json:"builds"`             // each image once, in the order of its first service
	Inputs      []Input        `json:"inputs"`             // everything that was read (L7), sorted by path
	Warnings    []Diagnostic   `json:"warnings,omitempty"` // in source order
}

// DefaultParallelism is how many builds, and how many deploys, run at a time if a pipeline
// sets no other number (A1).
const DefaultParallelism = 7

// Pipeline holds what pipeline() declares.
type Pipeline struct {
	Name              string   `json:"name"`                     // part of the namespaces
	Namespace         string   `json:"namespace,omitempty"`      // of its environments, with the fields {pipeline} and {environment}; empty: "{pipeline}-{environment}"
	Registry          string   `json:"registry,omitempty"`       // where images are kept; empty: as set for each run
	BuildParallelism  int      `json:"build_parallelism"`        // maximum number of concurrent builds; default DefaultParallelism
	DeployParallelism int      `json:"deploy_parallelism"`       // maximum number of concurrent deploys; default DefaultParallelism
	SBOM              string   `json:"sbom,omitempty"`           // the image with which builders make the SBOMs of images (I13); empty: they use the program pipe-sbom, if it is installed
	NoSBOM            bool     `json:"no_sbom,omitempty"`        // builders make no SBOMs; SBOM is empty then
	BuildAhead        bool     `json:"build_ahead,omitempty"`    // idle build slots build for later stages
	AllowContexts     []string `json:"allow_contexts,omitempty"` // kubeconfig contexts that watch mode may use (C6)
	// Sign says how the images that are built are signed (I15); nil: they are not.
	Sign *Signing `json:"sign,omitempty"`
	// Verify says which images must be signed (I16).
	Verify []SignatureRule `json:"verify,omitempty"`
	// Scan says how images are scanned for vulnerabilities (I14); nil: they are not.
	Scan *Scan `json:"scan,omitempty"`
	Pos  Pos   `json:"pos"` // of the call of pipeline()
}

// An EnvironmentRef names the environment that a plan is for.
type EnvironmentRef struct {
	Name   string          `json:"name"`
	Kind   EnvironmentKind `json:"kind"`
	Source string          `json:"source,omitempty"` // what it was cloned from
	Branch string          `json:"branch,omitempty"` // the branch of a preview
	// Namespace is the Kubernetes namespace. In a plan, it is empty if the pipeline declares
	// none and it is the default one: see [Plan.Namespace].
	Namespace string `json:"namespace,omitempty"`
}

// An EnvironmentKind says how an environment came to be.
type EnvironmentKind string

// The kinds of environments (E2, E3).
const (
	KindEnvironment EnvironmentKind = "environment" // made by its first deploy
	KindClone       EnvironmentKind = "clone"       // made by "pipe clone"
	KindPreview     EnvironmentKind = "preview"     // a clone for a branch
)

// A Param is one declared parameter with its value. The value is a string, in the
// form that --set takes, so that an environment can be evaluated again.
type Param struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"` // "string", "int", "bool" or "float"
	Value   string   `json:"value"`
	Default bool     `json:"default,omitempty"` // the value is the default
	Choices []string `json:"choices,omitempty"` // the allowed values, in the form of Value; none: any value of the type
	Pos     Pos      `json:"pos"`               // of the call of param()
}

// A Stage is one step of the pipeline.
type Stage struct {
	Name        string `json:"name"`  // after renaming; unique
	Order       int    `json:"order"` // unique; stages run in ascending order (S1)
	Description string `json:"description,omitempty"`
	Pos         Pos    `json:"pos,omitzero"` // zero for default stages that the file does not declare (S2)
}

// A ServiceType is the kind of a service.
type ServiceType string

// The types of services (SPEC §1).
const (
	Database    ServiceType = "DATABASE"
	Job         ServiceType = "JOB"
	Container   ServiceType = "CONTAINER"
	Application ServiceType = "APPLICATION"
	Helm        ServiceType = "HELM"
	Manifests   ServiceType = "MANIFESTS"
)

// A Service is one deployable unit.
type Service struct {
	Name     string       `json:"name"` // unique; a DNS label of at most 53 characters
	Type     ServiceType  `json:"type"`
	Stage    string       `json:"stage"`              // the name of its stage
	Placed   Placement    `json:"placed"`             // why it is in that stage
	Skip     bool         `json:"skip"`               // whether actions on the environment leave it out (E4)
	SkipWhy  *Reason      `json:"skip_why,omitempty"` // set if Skip
	Image    ImageSource  `json:"image"`
	Images   []NamedImage `json:"images,omitempty"` // that it has besides Image
	Chart    *Chart       `json:"chart,omitempty"`  // nil: generated from Workload (D1), or the service consists of Manifests
	Values   Values       `json:"values,omitempty"` // override those of the chart
	Workload Workload     `json:"workload"`         // what runs
	// Namespace is that of its release, with the fields {pipeline} and {environment}; empty:
	// that of the environment. See [Plan.NamespaceOf].
	Namespace string   `json:"namespace,omitempty"`
	Adopt     bool     `json:"adopt,omitempty"` // take over the release and the objects that exist (E8)
	Sync      []Sync   `json:"sync,omitempty"`  // what watch mode copies instead of building (W6), in the order declared
	Uses      []string `json:"uses,omitempty"`  // services whose host or address it refers to, sorted
	Timeout   Duration `json:"timeout"`         // for becoming ready; default 5 minutes, for a job 10
	Pos       Pos      `json:"pos"`             // of the call that declares it, in the workspace
	Caller    Pos      `json:"caller,omitzero"` // if a function declares it: of the outermost call that led there

	Filled    []Filled         `json:"filled,omitempty"`    // places in the values of Chart that are set when it is rendered, sorted by path
	Manifests []ManifestSource `json:"manifests,omitempty"` // set if the service is a MANIFESTS, in the order declared

	MirrorImages bool `json:"mirror_images,omitempty"` // copy the images that Chart or Manifests name into the registry, and deploy those (I3)
}

// A Placement is the reason why a service is in its stage.
type Placement struct {
	By  PlacedBy `json:"by"`
	Pos Pos      `json:"pos,omitzero"` // of the stage= or default_stage() that decided
}

// Why says why a service of type t is in its stage, without the position, such as
// "by the rule for JOB".
func (p Placement) Why(t ServiceType) string {
	switch p.By {
	case ByStage:
		return "by its stage ="
	case ByRule:
		if p.Pos.IsZero() {
			return fmt.Sprintf("by the default rule for %s, as no stage is declared", t)
		}
		return fmt.Sprintf("by the rule for %s", t)
	case ByLatest:
		return fmt.Sprintf("because there is no rule for %s and this is the stage with the highest order", t)
	case ByOverride:
		return "by an override of the environment"
	}
	return "by the plan"
}

// PlacedBy is what decided the stage of a service.
type PlacedBy string

// What can decide the stage of a service.
const (
	ByStage    PlacedBy = "stage"    // stage= of the service (S3)
	ByRule     PlacedBy = "rule"     // the default-type rule (S3)
	ByLatest   PlacedBy = "latest"   // no rule: the stage with the highest order (S4)
	ByOverride PlacedBy = "override" // an override of the environment (S6)
)

// A Reason says why something is the case, and where it was declared.
type Reason struct {
	Text string `json:"text"` // such as "skip = True"
	Pos  Pos    `json:"pos,omitzero"`
}

// An ImageSource is the source of a service's image. Exactly one field is set,
// or none for a service whose chart provides its own images.
type ImageSource struct {
	Build  string `json:"build,omitempty"`  // ID of a BuildSpec
	Mirror string `json:"mirror,omitempty"` // reference to copy into the registry (I3)
	Ref    string `json:"ref,omitempty"`    // reference to deploy without copying
}

// A BuildSpec describes one image to build. It does not depend on the
// environment (I1).
type BuildSpec struct {
	ID         string                 `json:"id"` // of the first image that it is for, see [ImageKey]
	Source     Source                 `json:"source"`
	Context    string                 `json:"context"`              // directory in the source; "." is the source itself
	Dockerfile string                 `json:"dockerfile"`           // path in the source; empty if it is made without one
	Command    *BuildCommand          `json:"command,omitempty"`    // what makes the image, instead of a Dockerfile
	Go         *GoBuild               `json:"go,omitempty"`         // what makes the image, instead of a Dockerfile
	Buildpack  *Buildpack             `json:"buildpack,omitempty"`  // what makes the image, instead of a Dockerfile
	Target     string                 `json:"target,omitempty"`     // stage of the Dockerfile; empty: its last
	Args       map[string]string      `json:"args,omitempty"`       // values of ARG
	ImageArgs  map[string]ImageSource `json:"image_args,omitempty"` // values of ARG that are references of images, which are built before; with Go or Buildpack, the images that it needs
	// Bases are the images of ImageArgs, by argument. The runtime sets them for its
	// Builder; no plan has them.
	Bases     map[string]Base   `json:"-"`
	Platforms []string          `json:"platforms,omitempty"` // none: the platform of the builder
	Secrets   []SecretRef       `json:"secrets,omitempty"`   // mounted by RUN --mount=type=secret,id=NAME
	Labels    map[string]string `json:"labels,omitempty"`    // of the image
	Pos       Pos               `json:"pos"`                 // of the call of dockerfile(), command_build(), go_image() or buildpack(), or else of the service
}

// A Source is a directory of the workspace (if Git is empty) or of a git repository.
type Source struct {
	Git    string `json:"git,omitempty"`    // URL of a repository
	Ref    string `json:"ref,omitempty"`    // branch, tag or commit; never empty for a git source
	Commit string `json:"commit,omitempty"` // of Git, which Ref named; the runtime sets it, no evaluated plan has it
	Path   string `json:"path,omitempty"`   // slash-separated, relative to the root of the workspace or the repository
}

// A Chart refers to the Helm chart that a service names with chart= (D1).
type Chart struct {
	Ref         string   `json:"ref"`                    // a directory or .tgz in the workspace or in Git, oci://…, or a name in Repo
	Version     string   `json:"version,omitempty"`      // empty: the newest; a branch, tag or commit of Git; a chart in the workspace contains its own
	Repo        string   `json:"repo,omitempty"`         // URL of a chart repository
	Git         string   `json:"git,omitempty"`          // URL of a git repository
	Commit      string   `json:"commit,omitempty"`       // of Git, which Version named; the runtime sets it, no evaluated plan has it
	ValuesFiles []string `json:"values_files,omitempty"` // paths relative to the workspace's root
	Pos         Pos      `json:"pos"`                    // of the call of chart()
}

// InWorkspace reports whether the chart is a directory or a .tgz in the workspace.
func (c Chart) InWorkspace() bool {
	return c.Repo == "" && c.Git == "" && !strings.HasPrefix(c.Ref, "oci://")
}

// Source returns the repository of the chart, or "" for a chart that is not in one or
// whose Ref names it.
func (c Chart) Source() string { return c.Repo + c.Git }

// A SecretRef names a secret; a plan never contains its value (D4).
//
// If Service is set, it refers to one of the credentials that are generated for
// a database, once per environment (D6), and Key is "url", "url-" and one of the forms of
// url_for(), "host", "port", "database", "user" or "password".
// Otherwise Name is the name of the secret and Key the key in it; an
// empty Key means its only key.
type SecretRef struct {
	Service string `json:"service,omitempty"` // a database of the plan
	Name    string `json:"name,omitempty"`
	Key     string `json:"key,omitempty"`
}

// CredentialsName returns the name of the Kubernetes Secret that holds the generated
// credentials of a database (D6).
func CredentialsName(database string) string { return database + "-credentials" }

// An Input is something that the evaluation read and that watch mode watches (L7).
type Input struct {
	Path    string    `json:"path"` // slash-separated, relative to the workspace's root; the pattern of a glob
	Kind    InputKind `json:"kind"`
	Exclude []string  `json:"exclude,omitempty"` // the exclude patterns of a glob, as given
	Digest  Digest    `json:"digest,omitempty"`  // of a file's content; of a glob's matches
}

// An InputKind is the kind of an input.
type InputKind string

// The kinds of inputs.
const (
	InputModule     InputKind = "module" // a Pipelinefile or a module in the workspace
	InputFile       InputKind = "file"   // a file read by read_file(), read_yaml() and similar functions
	InputGlob       InputKind = "glob"
	InputDockerfile InputKind = "dockerfile"
	InputChart      InputKind = "chart"    // a .tgz, or all files of a directory
	InputValues     InputKind = "values"   // values_files= of a chart
	InputContext    InputKind = "context"  // a directory that an image is built from; without digest, because the builder reads it
	InputManifest   InputKind = "manifest" // a file of manifests() or of a kustomization
	InputLock       InputKind = "lock"     // the lock file of remote modules
	InputRemote     InputKind = "remote"   // a file of a remote module, "git+https://…//x.star"; it changes only with the lock file
)

// A Digest is a content digest in the form "sha256:<hex>".
type Digest string

// Valid reports whether d has that form, with the 64 digits of a SHA-256.
func (d Digest) Valid() bool {
	hash, ok := strings.CutPrefix(string(d), "sha256:")
	return ok && len(hash) == 64 && strings.Trim(hash, "0123456789abcdef") == ""
}

// IsTag reports whether s is the tag of an image in the syntax of OCI registries: at most 128
// letters, digits, "_", "." and "-", and neither "." nor "-" comes first.
func IsTag(s string) bool {
	const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
	return s != "" && len(s) <= 128 && s[0] != '.' && s[0] != '-' && strings.Trim(s, characters) == ""
}

// DigestOf returns the digest of data.
func DigestOf(data []byte) Digest {
	sum := sha256.Sum256(data)
	return Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// Digest returns the digest of p's JSON. Plans with the same digest are equal.
// It fails only if the Values of a service contain something that JSON cannot represent.
func (p *Plan) Digest() (Digest, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("plan %s: %w", p.Pipeline.Name, err)
	}
	return DigestOf(data), nil
}

// Service returns the service with that name, or nil.
func (p *Plan) Service(name string) *Service {
	for i := range p.Services {
		if p.Services[i].Name == name {
			return &p.Services[i]
		}
	}
	return nil
}

// Build returns the build with that ID, or nil.
func (p *Plan) Build(id string) *BuildSpec {
	for i := range p.Builds {
		if p.Builds[i].ID == id {
			return &p.Builds[i]
		}
	}
	return nil
}
