package plan_test

import (
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
