package registry

import (
	"crypto"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// bundleOf returns a bundle with a statement that keys have signed.
func bundleOf(t *testing.T, statement string, keys ...crypto.Signer) string {
	t.Helper()
	type sig struct {
		Sig []byte `json:"sig"`
	}
	var sigs []sig
	for _, key := range keys {
		made, err := key.Sign(rand.Reader, sha(string(encoded(inTotoType, []byte(statement)))), crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		sigs = append(sigs, sig{made})
	}
	text, err := json.Marshal(map[string]any{"dsseEnvelope": map[string]any{"payload": []byte(statement), "payloadType": inTotoType, "signatures": sigs}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCheckBundle(t *testing.T) {
	t.Parallel()
	good, other := newKey(t), newKey(t)
	image := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}
	statement := func(predicate string, hashes ...string) string {
		var subjects []string
		for _, hash := range hashes {
			subjects = append(subjects, `{"digest":{"sha256":"`+hash+`"}}`)
		}
		return `{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + predicate + `","subject":[` + strings.Join(subjects, ",") + `]}`
	}
	for name, test := range map[string]struct{ bundle, want string }{
		"signed":            {bundleOf(t, statement(signPredicate, image.Hex), good), ""},
		"one of two":        {bundleOf(t, statement(signPredicate, strings.Repeat("b", 64), image.Hex), other, good), ""},
		"another key":       {bundleOf(t, statement(signPredicate, image.Hex), other), "another key"},
		"another image":     {bundleOf(t, statement(signPredicate, strings.Repeat("b", 64)), good), "has signed sha256:bbb"},
		"no image":          {bundleOf(t, statement(signPredicate), good), "something else"},
		"an odd image":      {bundleOf(t, statement(signPredicate, "\\u001b[31m"), good), "something else"},
		"provenance":        {bundleOf(t, statement("https://slsa.dev/provenance/v1", image.Hex), good), "something else"},
		"nonsense signed":   {bundleOf(t, "nonsense", good), "something else"},
		"nobody has signed": {bundleOf(t, statement(signPredicate, image.Hex)), "unknown form"},
		"nonsense":          {"nonsense", "damaged"},
		"empty":             {"{}", "unknown form"},
		"null":              {"null", "unknown form"},
	} {
		err := checkBundle(image, []crypto.PublicKey{good.Public()}, []byte(test.bundle))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: checkBundle = %v, want %q", name, err, test.want)
		}
	}
}
