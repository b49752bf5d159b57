package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/cmd/sops/common"
	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/config"
)

// encrypt encrypts a file for an age key, as "sops encrypt --age RECIPIENT" does.
func encrypt(t *testing.T, format, text, recipient string) []byte {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store := common.StoreForFormat(formats.FormatFromString(format), config.NewStoresConfig())
	branches, err := store.LoadPlainFile([]byte(text))
	check(err)
	key, err := sopsage.MasterKeyFromRecipient(recipient)
	check(err)
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{KeyGroups: []sops.KeyGroup{{key}}, Version: "3.9.0", LastModified: time.Now().UTC()}}
	dataKey, errs := tree.GenerateDataKey()
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(dataKey, cipher)
	check(err)
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, dataKey, tree.Metadata.LastModified.Format(time.RFC3339))
	check(err)
	data, err := store.EmitEncryptedFile(tree)
	check(err)
	return data
}

// TestSOPS: whole files that are encrypted with an age key, and references into them.
func TestSOPS(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOPS_AGE_KEY", key.String())
	t.Setenv("HOME", t.TempDir())
	dir := t.TempDir()
	yaml := encrypt(t, "yaml", "stripe: hidden one\nmail:\n    user: shop\n    port: 25\n", key.Recipient().String())
	if err := os.WriteFile(filepath.Join(dir, "s.yaml"), yaml, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plain.yaml"), []byte("stripe: hidden\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	asks := []ask{
		{SOPS: yaml, Format: "yaml"},
		{SOPS: encrypt(t, "json", `{"stripe": "hidden"}`, key.Recipient().String()), Format: "json"},
		{SOPS: encrypt(t, "dotenv", "STRIPE=hidden\n", key.Recipient().String()), Format: "dotenv"},
		{Reference: "ref+sops://s.yaml#/stripe", Dir: dir},
		{Reference: "ref+sops://" + dir + "/s.yaml#/mail/port"},
		{Reference: "ref+sops://s.yaml#/strip", Dir: dir},
		{Reference: "ref+sops://missing.yaml#/stripe", Dir: dir},
		{Reference: "ref+sops://plain.yaml#/stripe", Dir: dir},
		{SOPS: []byte(strings.Replace(string(yaml), "port: ENC[", "port: ENC]", 1)), Format: "yaml"},
	}
	checkAnswers(t, asks, answerAll(t, asks), []string{
		"stripe: hidden one\nmail:\n    user: shop\n    port: 25\n", "{\n\t\"stripe\": \"hidden\"\n}\n", "STRIPE=hidden\n", "hidden one", "25",
		`error: there is no key "strip"; the keys are mail, stripe`, "error: no such file", "error: sops metadata not found", "error: ",
	})

	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOPS_AGE_KEY", other.String())
	asks = asks[:1]
	checkAnswers(t, asks, answerAll(t, asks), []string{"error: Error getting data key"})
}
