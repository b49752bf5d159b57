package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseReference(t *testing.T) {
	for text, want := range map[string]reference{
		"ref+vault://secret/shop#/stripe":                                 {scheme: "vault", path: "secret/shop", keys: []string{"stripe"}},
		"secretref+vault://secret/shop#/a/b+":                             {scheme: "vault", path: "secret/shop", keys: []string{"a", "b"}},
		"ref+sops:///etc/s.yaml#a%2Fb":                                    {scheme: "sops", path: "/etc/s.yaml", keys: []string{"a/b"}},
		"ref+awssecrets://arn:aws:secretsmanager:eu-west-1:1:secret:s#/a": {scheme: "awssecrets", path: "arn:aws:secretsmanager:eu-west-1:1:secret:s", keys: []string{"a"}},
		"ref+op://vault/my%20item/field":                                  {scheme: "op", path: "vault/my item/field"},
	} {
		got, err := parseReference(text)
		if got.params = nil; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("parseReference(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	got, err := parseReference("ref+awsssm://a/b?region=eu-west-1&mode=singleparam#/k")
	if err != nil || got.path != "a/b" || got.params.Encode() != "mode=singleparam&region=eu-west-1" || got.keys[0] != "k" {
		t.Errorf("with parameters: %+v, %v", got, err)
	}
}

// TestRefused: references to what must not be read, and references that are invalid.
func TestRefused(t *testing.T) {
	workspace := t.TempDir()
	outside := filepath.Join(t.TempDir(), "hidden")
	for file, text := range map[string]string{outside: "hidden", filepath.Join(workspace, "in.txt"): "inside", filepath.Join(workspace, "in.yaml"): "a: {b: c}\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(workspace, "link")); err != nil {
		t.Fatal(err)
	}
	const scheme = "is not allowed: use one of awssecrets, awsssm, azurekeyvault, gcpsecrets, onepasswordconnect, op, openbao, sops, vault, file"
	var asks []ask
	var want []string
	for _, tt := range [][2]string{
		{"ref+exec://printenv/hidden", `error: the scheme "exec" ` + scheme},
		{"ref+envsubst://$HOME", `error: the scheme "envsubst" ` + scheme},
		{"ref+echo://a", `error: the scheme "echo" ` + scheme},
		{"ref+httpjson://example.com/a#/b", `error: the scheme "httpjson" ` + scheme},
		{"ref+gcpsecrets://p/s?optional=true", "error: the parameter optional is not allowed"},
		{"ref+gcpsecrets://p/s?fallback_value=hidden", "error: the parameter fallback_value is not allowed"},
		{"ref+file://in.txt", "inside"},
		{"ref+file://in.yaml#/a/b", "c"},
		{"ref+file://in.txt#/a", "error: not a map"},
		{"ref+file://missing", "error: no such file"},
		{"ref+file://link", "error: "},
		{"ref+file://../x", "error: the file is outside of the workspace"},
		{"ref+file:///etc/passwd", "error: the file is outside of the workspace"},
		{"ref+file://", "error: it has no path"},
		{"ref+vault:/x", "error: it is not of the form"},
		{"ref+vault://a?%zz", "error: its parameters are invalid"},
		{"ref+vault://a%zz", "error: its path has an invalid escape sequence"},
		{"ref+vault://a#/b//c", "error: is not a path of keys"},
	} {
		asks, want = append(asks, ask{Reference: tt[0], Dir: workspace}), append(want, tt[1])
	}
	got := send(t, request{Version: protocol, Workspace: workspace, Timeout: "1m", Ask: asks}).Answers
	for i := range got {
		got[i].Error = strings.ReplaceAll(got[i].Error, outside, "OUTSIDE")
	}
	checkAnswers(t, asks, got, want)
}
