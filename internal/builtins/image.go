package builtins

import (
	"regexp"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
)

// An Image is the source of the image of a service. If the image= of a service is the
// image of another, both share one Image, so it is built once (L6).
type Image struct {
	opaque
	Owner  *Service          // the service that declared it
	Build  *plan.BuildSpec   // without ID
	Args   map[string]*Image // of Build, by name: arguments whose values are other images
	Mirror string
	Ref    string
}

// A NamedImage is an image that a service has besides its own. The names of those of one
// service differ.
type NamedImage struct {
	Name  string
	Image *Image
}

// String returns the reference, or the service that owns the image.
func (i *Image) String() string {
	if i.Build != nil && i.Owner != nil {
		return "<image of " + i.Owner.Plan.Name + ">"
	}
	return i.Mirror + i.Ref
}

// Type returns "image".
func (i *Image) Type() string { return "image" }

// Instead says where an image can be used.
func (i *Image) Instead(string) string {
	return "an image can be the image= of a service, a value in values= of a chart, or an argument of dockerfile(); an object of manifests() cannot name it: declare its workload as an application()"
}

// imageArg is a reference, or the .image of a service.
type imageArg struct {
	ref  string
	from *Image
}

func (imageArg) TypeName() string { return "str | image" }

// Unpack accepts both.
func (a *imageArg) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case *Image:
		a.from = v
		return nil
	case starlark.String:
		a.ref = string(v)
		if p := checkImage(a.ref); p != nil {
			return p
		}
		return nil
	case *Service:
		return explain.Errorf("want string or image, got service").WithHint("write %s.image", v.Plan.Name)
	case *Build:
		return explain.Errorf("want string or image, got build").WithHint("a build is given as build=")
	}
	return convert.Want("str or image", v)
}

// The parts of an image reference, as the distribution project defines them.
var (
	refDomain = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?$`)
	refPath   = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
	refDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// isDomain reports whether s is the domain of a registry. Most are plain host names.
func isDomain(s string) bool {
	plain := hostname.fits(s) && !strings.Contains(s, "..") && !strings.Contains(s, "-.") && !strings.Contains(s, ".-")
	return plain || refDomain.MatchString(s)
}

// maxRef is the maximum length of an image reference, and of other names of remote
// resources: registries allow 255 characters for a name, plus a tag and a digest.
const maxRef = 1000

// loginHint says where the credentials of a registry belong.
const loginHint = "remove it, and log in: docker login HOST"

// checkCredentials rejects an address that contains credentials, because the values in a
// Pipelinefile end up in plans, which are stored and shown. The hint says where
// credentials belong. This check must come first, so that no other message shows the
// address.
func checkCredentials(address, hint string) *explain.Error {
	held := redact.Credentials(address)
	if held == "" {
		return nil
	}
	return explain.Errorf("has %s in it", held).WithHint("%s", hint)
}

// checkImage checks the syntax of an image reference: [domain/]path[:tag][@digest].
func checkImage(ref string) *explain.Error {
	bad := func(format string, args ...any) *explain.Error {
		return explain.Errorf(format, args...).WithHint(`write such as "redis:7" or "ghcr.io/owner/name:1.2"`)
	}
	if ref == "" {
		return bad("the reference of an image is empty")
	}
	if p := checkCredentials(ref, loginHint); p != nil {
		return p
	}
	if len(ref) > maxRef {
		return bad("%q has %d characters, at most %d are possible", explain.Clip(ref), len(ref), maxRef)
	}
	if scheme, rest, ok := strings.Cut(ref, "://"); ok {
		return explain.Errorf("%q: the reference of an image has no %s://", explain.Clip(ref), scheme).WithHint("write %q", rest)
	}
	name, digest, hasDigest := strings.Cut(ref, "@")
	if hasDigest && !refDigest.MatchString(digest) {
		return bad("%q: %q is not a valid digest", explain.Clip(ref), explain.Clip(digest))
	}
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		if !refTag.fits(name[i+1:]) {
			return bad("%q: %q is not a valid tag", explain.Clip(ref), explain.Clip(name[i+1:]))
		}
		name = name[:i]
	}
	domain, path, ok := strings.Cut(name, "/")
	if !ok || !strings.ContainsAny(domain, ".:") && domain != "localhost" && !strings.HasPrefix(domain, "[") {
		domain, path = "", name
	}
	if domain != "" && !isDomain(domain) {
		return bad("%q: %q is not a valid registry", explain.Clip(ref), explain.Clip(domain))
	}
	for _, part := range strings.Split(path, "/") {
		if !dnsLabel.fits(part) && !refPath.MatchString(part) {
			p := bad("%q: %q is not a valid image name", explain.Clip(ref), explain.Clip(part))
			if low := strings.ToLower(part); refPath.MatchString(low) {
				p.Hint = "image names have lower-case letters only"
			}
			return p
		}
	}
	if len(name) > 255 {
		return bad("%q is longer than 255 characters", explain.Clip(ref))
	}
	return nil
}
