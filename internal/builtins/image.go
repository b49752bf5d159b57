package builtins

import (
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
		return explain.Errorf("want string or image, got service").WithHint("write %s", v.Example("image"))
	case *Build:
		return explain.Errorf("want string or image, got build").WithHint("pass a build as build=")
	}
	return convert.Want("str or image", v)
}

// isDomain reports whether s is the domain of a registry, perhaps with a port, as the
// distribution project defines it.
func isDomain(s string) bool {
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		if !explain.IsDecimal(s[i+1:], 5) {
			return false
		}
		s = s[:i]
	}
	if address, ok := strings.CutPrefix(s, "["); ok {
		address, ok = strings.CutSuffix(address, "]")
		return ok && address != "" && strings.Trim(address, "0123456789abcdefABCDEF:") == ""
	}
	return hostname.fits(s) && !strings.Contains(s, "..") && !strings.Contains(s, "-.") && !strings.Contains(s, ".-")
}

// isRefPath reports whether s is a part of the path of an image: words of lower-case
// letters and digits, with ".", "_", "__" or any number of "-" between them.
func isRefPath(s string) bool {
	const word = "abcdefghijklmnopqrstuvwxyz0123456789"
	for {
		rest := strings.TrimLeft(s, word)
		if len(rest) == len(s) || rest == "" {
			return rest != s
		}
		i := strings.IndexAny(rest, word)
		if i < 0 {
			return false
		}
		if between := rest[:i]; between != "." && between != "_" && between != "__" && strings.Trim(between, "-") != "" {
			return false
		}
		s = rest[i:]
	}
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
		return explain.Errorf(format, args...).WithHint(`write, for example, "redis:7" or "ghcr.io/owner/name:1.2"`)
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
	if hasDigest && !plan.Digest(digest).Valid() {
		return bad("%q: %q is not a valid digest", explain.Clip(ref), explain.Clip(digest))
	}
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		if !plan.IsTag(name[i+1:]) {
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
		if !dnsLabel.fits(part) && !isRefPath(part) {
			p := bad("%q: %q is not a valid image name", explain.Clip(ref), explain.Clip(part))
			if low := strings.ToLower(part); isRefPath(low) {
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
