package builtins

import (
	"errors"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// stringsArg is a string, or a list of strings.
type stringsArg []string

func (stringsArg) TypeName() string { return "str | list[str]" }

// Unpack accepts both.
func (a *stringsArg) Unpack(v starlark.Value) error {
	if s, ok := v.(starlark.String); ok {
		v = starlark.Tuple{s}
	}
	items, p := convert.List(v, "str or list[str]")
	if p != nil {
		return p
	}
	all := make([]string, len(items))
	for i, item := range items {
		if p := convert.String(&all[i], item); p != nil {
			return p.In(i)
		}
	}
	*a = all
	return nil
}

// A SigningKey is the value of signing_key() and of keyless().
type SigningKey struct {
	opaque
	plan plan.Signing
}

// String returns "signing_key(…)" or "keyless(…)".
func (k *SigningKey) String() string {
	if k.plan.Keyless != nil {
		return "keyless(…)"
	}
	return "signing_key(…)"
}

// Type returns "signing_key".
func (k *SigningKey) Type() string { return "signing_key" }

// Instead says where a key can be used.
func (k *SigningKey) Instead(string) string { return "write it as sign = of pipeline()" }

type signingKeyArgs struct {
	Key      *Secret `arg:"key" help:"a private key in PEM, as cosign generate-key-pair or openssl genpkey write it: ECDSA P-256, Ed25519 or RSA"`
	Password *Secret `arg:"password,kw" default:"None" help:"of an encrypted key"`
}

var signingKeyFunc = declare("signing_key", "signing_key", "Names the key that signs the images that are built, for `sign=` of pipeline().",
	func(c *Call, a *signingKeyArgs) (starlark.Value, error) {
		key := &SigningKey{plan: plan.Signing{Pos: c.Pos()}}
		use := func(param string, s *Secret) plan.SecretRef {
			if s == nil {
				return plan.SecretRef{}
			}
			if s.ref.Service != "" {
				c.wrong(param, explain.Errorf("%s is generated for a database", s.what()).WithHint("write secret(\"cosign-key\")"))
			}
			return s.ref
		}
		key.plan.Key = use("key", a.Key)
		if password := use("password", a.Password); a.Password != nil {
			key.plan.Password = &password
		}
		return key, nil
	})

// A Signed is the value of signed().
type Signed struct {
	opaque
	plan plan.SignatureRule
}

// String returns "signed(…)".
func (s *Signed) String() string { return "signed(…)" }

// Type returns "signed".
func (s *Signed) Type() string { return "signed" }

// Instead says where a rule can be used.
func (s *Signed) Instead(string) string { return "write verify = [signed(…)] of pipeline()" }

type signedArgs struct {
	Images  stringsArg `arg:"images" help:"names of images without tags, such as \"ghcr.io/acme/*\", in which * stands for any characters, also slashes"`
	Key     stringsArg `arg:"key,kw" default:"[]" help:"a public key in PEM, such as read_file(\"cosign.pub\"); of several, and of the identities, one must have signed"`
	Exclude stringsArg `arg:"exclude,kw" default:"[]" help:"names of images that the rule does not cover, in the same form as images="`

	Identity       stringsArg `arg:"identity,kw" default:"[]" help:"who must have signed without a key, exactly: the address of the workflow of a CI, such as \"https://github.com/acme/shop/.github/workflows/release.yml@refs/heads/main\", or an e-mail address"`
	IdentityRegexp stringsArg `arg:"identity_regexp,kw" default:"[]" help:"the same as a regular expression, which begins with ^ and ends with $"`
	Issuer         string     `arg:"issuer,kw" default:"None" help:"the address of the OpenID Connect provider that has authenticated the identity, such as \"https://token.actions.githubusercontent.com\""`
	TrustedRoot    string     `arg:"trusted_root,kw" default:"None" help:"of an instance of Sigstore of your own: the JSON of its trusted root, such as read_file(\"trusted_root.json\"); the public instance if not given"`
}

// Limits for one rule, and for all.
const (
	maxPatterns = 100
	maxKeys     = 20
	maxRules    = 100
	maxKeyBytes = 16 << 10
)

var signedFunc = declare("signed", "signed", "Requires a signature of images before they are deployed, for `verify=` of pipeline().",
	func(c *Call, a *signedArgs) (starlark.Value, error) {
		rule := plan.SignatureRule{Pos: c.Pos()}
		rule.Images = c.imagePatterns("images", a.Images)
		rule.Exclude = c.imagePatterns("exclude", a.Exclude)
		if c.Valid("images") && len(a.Images) == 0 {
			c.wrong("images", explain.Errorf("names no image").WithHint(`write, for example, "ghcr.io/acme/*", or "*" for all images`))
		}
		var err error
		if rule.Identities, err = c.identities(a); err != nil {
			return nil, err
		}
		if c.Valid("key") && len(a.Key)+len(a.Identity)+len(a.IdentityRegexp)+len(a.Issuer)+len(a.TrustedRoot) == 0 {
			c.wrong("key", explain.Errorf("names no key").WithHint(`write, for example, key = read_file("cosign.pub"), or identity = … and issuer = …`))
		}
		if len(a.Key) > maxKeys {
			c.wrong("key", explain.Errorf("want %d keys at most, got %d", maxKeys, len(a.Key)))
			return &Signed{plan: rule}, nil
		}
		for i, text := range a.Key {
			if err := c.Session.Meter.Charge(keySteps + uint64(len(text))); err != nil {
				return nil, err
			}
			key, p := checkPublicKey(text)
			if p != nil {
				if len(a.Key) > 1 {
					p = p.In(i)
				}
				c.wrong("key", p)
			} else if !slices.Contains(rule.Keys, key) {
				rule.Keys = append(rule.Keys, key)
			}
		}
		return &Signed{plan: rule}, nil
	})

// checkPublicKey returns a public key as a plan has it. An error never shows the string.
func checkPublicKey(text string) (string, *explain.Error) {
	if len(text) > maxKeyBytes {
		return "", explain.Errorf("is too long for a public key").WithHint(`write, for example, read_file("cosign.pub")`)
	}
	key, err := plan.ParsePublicKey(text)
	if err == nil {
		if text, err = plan.FormatPublicKey(key); err == nil {
			return text, nil
		}
	}
	p := explain.Errorf("%v", err)
	switch {
	case errors.Is(err, plan.ErrPrivateKey):
		p.Hint = `name the public key, such as read_file("cosign.pub"); create a new pair of keys if others can read this one`
	case errors.Is(err, plan.ErrManyKeys):
		p.Hint = "write key = […], with a string for each key"
	case errors.Is(err, plan.ErrNotPEM) && !strings.Contains(text, "-----") && strings.HasSuffix(text, ".pub"):
		p.Hint = "write read_file(" + explain.Literals([]string{explain.Clip(text)}) + ")"
	case errors.Is(err, plan.ErrNotPEM):
		p.Hint = `write, for example, read_file("cosign.pub"): a file that begins with -----BEGIN PUBLIC KEY-----`
	default:
		p.Hint = "use a key of ECDSA P-256, Ed25519 or RSA with 2048 to 8192 bits"
	}
	return "", p
}

// imagePatterns checks patterns of names of images, and returns them as a plan has them.
func (c *Call) imagePatterns(param string, patterns []string) []string {
	if len(patterns) > maxPatterns {
		c.wrong(param, explain.Errorf("want %d names at most, got %d", maxPatterns, len(patterns)))
		return nil
	}
	var all []string
	for i, pattern := range patterns {
		full, p := imagePattern(pattern)
		if p != nil && len(patterns) > 1 {
			p = p.In(i)
		}
		c.wrong(param, p)
		all = append(all, full)
	}
	return all
}

// imagePattern checks a pattern of names of images, and completes it as the name of an image.
func imagePattern(pattern string) (string, *explain.Error) {
	const example = `write, for example, "ghcr.io/acme/*"`
	if len(pattern) > maxRef {
		return "", explain.Errorf("%q is not a pattern of names of images", explain.Clip(pattern)).WithHint(example)
	}
	if p := checkCredentials(pattern, loginHint); p != nil {
		return "", p
	}
	name, tag, digest := plan.CutImage(pattern)
	host, _, hasPath := strings.Cut(name, "/")
	switch {
	case pattern == "":
		return "", explain.Errorf("is empty").WithHint(example)
	case strings.Contains(pattern, "://"):
		return "", explain.Errorf("%q is an address", explain.Clip(pattern)).WithHint(example)
	case tag != "" || digest != "" || strings.ContainsAny(pattern, "@"):
		return "", explain.Errorf("%q has a tag or a digest", explain.Clip(pattern)).WithHint("write %q: signatures are of digests, whatever the tag is", explain.Clip(name))
	case strings.Trim(strings.ToLower(pattern), "abcdefghijklmnopqrstuvwxyz0123456789._-/:*[]") != "":
		return "", explain.Errorf("%q is not a pattern of names of images", explain.Clip(pattern)).WithHint(example)
	case strings.Contains(pattern, "//") || strings.HasPrefix(pattern, "/") || strings.HasSuffix(pattern, "/"):
		return "", explain.Errorf("%q: a part of the name is empty", explain.Clip(pattern)).WithHint(example)
	case strings.Contains(host, "*") && !strings.HasPrefix(host, "*") && !strings.ContainsAny(host, ".:"):
		return "", explain.Errorf("%q does not begin with a registry", explain.Clip(pattern)).WithHint("write %q, or another registry", "docker.io/"+explain.Clip(pattern))
	case strings.TrimPrefix(name, host) != strings.ToLower(strings.TrimPrefix(name, host)), !hasPath && name != strings.ToLower(name):
		return "", explain.Errorf("%q: names of images have lower-case letters only", explain.Clip(pattern)).WithHint("write %q", explain.Clip(strings.ToLower(pattern)))
	case strings.HasPrefix(host, "*"):
		return name, nil
	}
	if rest := strings.TrimPrefix(name, host); strings.HasPrefix(rest, "/*") {
		// Of Docker Hub, it is not only the images in library.
		const any = "/any/image"
		return strings.TrimSuffix(plan.FullName(host+any), any) + rest, nil
	}
	return plan.FullName(name), nil
}
