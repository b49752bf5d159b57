package plan_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

const examplePublicKey = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
`

func ExampleFullName() {
	fmt.Println(plan.FullName("redis:7"))
	fmt.Println(plan.FullName("ghcr.io/acme/web@sha256:00"))
	// Output:
	// docker.io/library/redis
	// ghcr.io/acme/web
}

func ExampleSignatureRule_Covers() {
	rule := plan.SignatureRule{Images: []string{"ghcr.io/acme/*"}, Exclude: []string{"ghcr.io/acme/test/*"}}
	fmt.Println(rule.Covers("ghcr.io/acme/team/web:1.2"), rule.Covers("ghcr.io/acme/test/web:1.2"), rule.Covers("redis:7"))
	// Output: true false false
}

func ExampleSigning_Refs() {
	signing := &plan.Signing{Key: plan.SecretRef{Name: "cosign", Key: "cosign.key"}, Password: &plan.SecretRef{Name: "cosign", Key: "cosign.password"}}
	fmt.Println(len(signing.Refs()))
	// Output: 2
}

func ExampleParsePublicKey() {
	_, err := plan.ParsePublicKey("-----BEGIN PRIVATE KEY-----\n")
	fmt.Println(errors.Is(err, plan.ErrPrivateKey))
	// Output: true
}

func ExampleFormatPublicKey() {
	key, err := plan.ParsePublicKey(examplePublicKey)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := plan.FormatPublicKey(key)
	fmt.Println(text == examplePublicKey, err)
	// Output: true <nil>
}

func ExampleCheckPublicKey() {
	fmt.Println(plan.CheckPublicKey("a string"))
	// Output: a key of this type cannot be used
}

func ExampleIdentity_Covers() {
	release := plan.Identity{Issuer: "https://token.actions.githubusercontent.com", Regexp: `^https://github\.com/acme/shop/\.github/workflows/release\.yml@refs/tags/v[0-9.]+$`}
	by := plan.Identity{Issuer: release.Issuer, Name: "https://github.com/acme/shop/.github/workflows/release.yml@refs/tags/v1.2"}
	fmt.Println(release.Covers(by))
	by.Name += "-rc"
	fmt.Println(release.Covers(by))
	// Output:
	// true
	// false
}

func ExampleSignatureRule_Signers() {
	rule := plan.SignatureRule{Images: []string{"*"}, Keys: []string{"one", "two"}}
	fmt.Println(rule.Signers().Covers(plan.Signers{Keys: []string{"two"}}))
	// Output: true
}

func ExampleSigners_Covers() {
	ann := plan.Signers{Identities: []plan.Identity{{Issuer: "https://accounts.example.com", Name: "ann@acme.test"}}}
	bob := plan.Signers{Identities: []plan.Identity{{Issuer: "https://accounts.example.com", Name: "bob@acme.test"}}}
	fmt.Println(ann.Covers(ann), ann.Covers(bob), ann.Covers(plan.Signers{}))
	// Output: true false false
}

func ExampleSigners_None() {
	fmt.Println(plan.Signers{}.None(), plan.Signers{Keys: []string{"one"}}.None())
	// Output: true false
}

func ExampleSigners_String() {
	one := plan.Signers{Keys: []string{"one"}}
	fmt.Println(one.String() == plan.SignatureRule{Keys: []string{"one"}}.Signers().String())
	// Output: true
}

func ExampleKeyless() {
	signing := plan.Signing{Keyless: &plan.Keyless{Identity: plan.Identity{Issuer: "https://accounts.example.com", Name: "ann@acme.test"}}}
	text, err := json.Marshal(signing.Keyless)
	fmt.Println(string(text), err)
	// Output: {"issuer":"https://accounts.example.com","name":"ann@acme.test"} <nil>
}
