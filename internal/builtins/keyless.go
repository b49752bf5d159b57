package builtins

import (
	"encoding/json"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// The types of the documents of Sigstore, without their versions.
const (
	trustedRootType   = "application/vnd.dev.sigstore.trustedroot"
	signingConfigType = "application/vnd.dev.sigstore.signingconfig"
)

// Limits of what says who signs without a key.
const (
	maxIdentity   = 1 << 10
	maxIdentities = 20
	maxTrust      = 256 << 10
)

const (
	exampleIssuer   = `write, for example, issuer = "https://token.actions.githubusercontent.com"`
	exampleIdentity = `write, for example, "https://github.com/acme/shop/.github/workflows/release.yml@refs/heads/main"`
)

type keylessArgs struct {
	Identity      string `arg:"identity" help:"as whom: the address of the workflow of a CI, such as \"https://github.com/acme/shop/.github/workflows/release.yml@refs/heads/main\", or an e-mail address"`
	Issuer        string `arg:"issuer,kw" help:"the address of the OpenID Connect provider that authenticates it, such as \"https://token.actions.githubusercontent.com\""`
	TrustedRoot   string `arg:"trusted_root,kw" default:"None" help:"of an instance of Sigstore of your own: the JSON of its trusted root, such as read_file(\"trusted_root.json\"); the public instance if not given"`
	SigningConfig string `arg:"signing_config,kw" default:"None" help:"of the same instance: the JSON that says where its services are, such as read_file(\"signing_config.json\")"`
}

var keylessFunc = declare("keyless", "signing_key", "Signs the images that are built without a key, as the identity of a job of CI, for `sign=` of pipeline().",
	func(c *Call, a *keylessArgs) (starlark.Value, error) {
		key := &SigningKey{plan: plan.Signing{Pos: c.Pos(), Keyless: &plan.Keyless{
			Identity:      plan.Identity{Issuer: a.Issuer, Name: a.Identity, TrustedRoot: a.TrustedRoot},
			SigningConfig: a.SigningConfig,
		}}}
		if c.Valid("identity") {
			c.wrong("identity", checkIdentity(a.Identity))
		}
		if c.Valid("issuer") {
			c.wrong("issuer", checkIssuer(a.Issuer))
		}
		if err := c.trust("trusted_root", a.TrustedRoot, trustedRootType); err != nil {
			return nil, err
		}
		if err := c.trust("signing_config", a.SigningConfig, signingConfigType); err != nil {
			return nil, err
		}
		switch {
		case !c.Valid("trusted_root") || !c.Valid("signing_config"):
		case a.TrustedRoot != "" && a.SigningConfig == "":
			c.wrong("trusted_root", explain.Errorf("is given without signing_config=").WithHint("write signing_config = read_file(\"signing_config.json\"), which says where Fulcio and the logs of this instance are"))
		case a.TrustedRoot == "" && a.SigningConfig != "":
			c.wrong("signing_config", explain.Errorf("is given without trusted_root=").WithHint("write trusted_root = read_file(\"trusted_root.json\"), the trusted root of the same instance"))
		}
		return key, nil
	})

// identities checks the arguments of signed() that name identities, and returns them as a plan has them.
func (c *Call) identities(a *signedArgs) ([]plan.Identity, error) {
	names := len(a.Identity) + len(a.IdentityRegexp)
	switch {
	case names == 0 && a.Issuer != "":
		c.wrong("issuer", explain.Errorf("is given without identity=").WithHint("write identity = …: everyone whom the issuer authenticates could sign"))
	case names == 0 && a.TrustedRoot != "":
		c.wrong("trusted_root", explain.Errorf("is given without identity=").WithHint("write identity = … and issuer = …; keys need no trusted root"))
	case names > 0 && a.Issuer == "" && c.Valid("issuer"):
		c.wrong("issuer", explain.Errorf("is not given").WithHint(exampleIssuer))
	case names > maxIdentities:
		c.wrong("identity", explain.Errorf("want %d identities at most, got %d", maxIdentities, names))
		return nil, nil
	case a.Issuer != "":
		c.wrong("issuer", checkIssuer(a.Issuer))
	}
	if err := c.trust("trusted_root", a.TrustedRoot, trustedRootType); err != nil {
		return nil, err
	}
	var all []plan.Identity
	add := func(param string, texts []string, i int, p *explain.Error, id plan.Identity) {
		if p != nil && len(texts) > 1 {
			p = p.In(i)
		}
		c.wrong(param, p)
		id.Issuer, id.TrustedRoot = a.Issuer, a.TrustedRoot
		all = append(all, id)
	}
	for i, name := range a.Identity {
		add("identity", a.Identity, i, checkIdentity(name), plan.Identity{Name: name})
	}
	for i, text := range a.IdentityRegexp {
		if err := c.Session.Meter.Charge(keySteps); err != nil {
			return nil, err
		}
		add("identity_regexp", a.IdentityRegexp, i, checkIdentityRegexp(text), plan.Identity{Regexp: text})
	}
	return all, nil
}

// checkIdentity checks the name of an identity.
func checkIdentity(name string) *explain.Error {
	switch {
	case name == "":
		return explain.Errorf("is empty").WithHint(exampleIdentity)
	case len(name) > maxIdentity:
		return explain.Errorf("%q is too long for an identity", explain.Clip(name)).WithHint(exampleIdentity)
	case strings.ContainsAny(name, "*^$\\"):
		return explain.Errorf("%q is a pattern", explain.Clip(name)).WithHint("an identity is compared exactly; write it in full, or identity_regexp = of signed()")
	case strings.ContainsAny(name, " \n\t") || !strings.ContainsAny(name, "@:/"):
		return explain.Errorf("%q is neither the address of a workflow nor an e-mail address", explain.Clip(name)).WithHint(exampleIdentity)
	}
	return nil
}

// checkIssuer checks the address of a provider of OpenID Connect.
func checkIssuer(text string) *explain.Error {
	if p := checkCredentials(text, "an issuer has no credentials: write its address only"); p != nil {
		return p
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(text) > maxIdentity {
		return explain.Errorf("%q is not the address of an issuer", explain.Clip(text)).WithHint(exampleIssuer)
	}
	return nil
}

// strangers are identities that no rule means, of providers that authenticate everybody.
var strangers = []string{
	"https://github.com/someone/else/.github/workflows/any.yml@refs/heads/any",
	"https://gitlab.com/someone/else//.gitlab-ci.yml@refs/heads/any",
	"someone.else@gmail.com", "someone.else@outlook.com", "someone@example.org",
	"https://example.org/someone", "",
}

// checkIdentityRegexp checks a regular expression for names of identities.
func checkIdentityRegexp(text string) *explain.Error {
	const example = `write, for example, r"^https://github\.com/acme/shop/\.github/workflows/release\.yml@refs/tags/v[0-9.]+$"`
	if len(text) > maxIdentity {
		return explain.Errorf("%q is too long for a regular expression", explain.Clip(text)).WithHint(example)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return explain.Errorf("%q is not a regular expression: %v", explain.Clip(text), err).WithHint(example)
	}
	if !isAnchored(tree) {
		return explain.Errorf("%q need not match all of the identity", explain.Clip(text)).WithHint("begin it with ^ and end it with $, and put alternatives between them in parentheses: ^(…|…)$")
	}
	pattern, err := regexp.Compile(text)
	if err != nil {
		return explain.Errorf("%q is not a regular expression: %v", explain.Clip(text), err).WithHint(example)
	}
	for _, other := range strangers {
		if pattern.MatchString(other) {
			return explain.Errorf("%q also matches identities of others, such as %q", explain.Clip(text), other).WithHint(example)
		}
	}
	return nil
}

// isAnchored reports whether a regular expression begins with ^ and ends with $.
func isAnchored(tree *syntax.Regexp) bool {
	n := len(tree.Sub)
	return tree.Op == syntax.OpConcat && n > 2 && tree.Sub[0].Op == syntax.OpBeginText && tree.Sub[n-1].Op == syntax.OpEndText
}

// trust checks a document of Sigstore; an empty one is not given. What is in it is checked when it is used.
func (c *Call) trust(param, text, kind string) error {
	if text == "" {
		if c.Valid(param) && c.Given(param) {
			c.wrong(param, explain.Errorf("is empty").WithHint("write, for example, read_file(%q)", param+".json"))
		}
		return nil
	}
	if err := c.Session.Meter.Charge(uint64(len(text))); err != nil {
		return err
	}
	hint := "write, for example, read_file(\"" + param + ".json\")"
	var document struct {
		Type string `json:"mediaType"`
	}
	switch {
	case len(text) > maxTrust:
		c.wrong(param, explain.Errorf("has more than %d KiB", maxTrust>>10).WithHint("%s", hint))
	case !strings.HasPrefix(strings.TrimSpace(text), "{"):
		c.wrong(param, explain.Errorf("%q is not JSON", explain.Clip(text)).WithHint("%s", hint))
	case json.Unmarshal([]byte(text), &document) != nil:
		c.wrong(param, explain.Errorf("is not valid JSON").WithHint("%s", hint))
	case !strings.HasPrefix(document.Type, kind):
		c.wrong(param, explain.Errorf("is of the type %q, want %q", explain.Clip(document.Type), kind).WithHint("%s", hint))
	}
	return nil
}
