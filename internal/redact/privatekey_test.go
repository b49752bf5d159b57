package redact

import "testing"

func TestPrivateKeysInSource(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"a = 1\n", "a = 1\n"},
		{"k = \"\"\"-----BEGIN PRIVATE KEY-----\nMIGH\nabc=\n-----END PRIVATE KEY-----\n\"\"\"\nb\n", "k = \"\"\"-----BEGIN PRIVATE KEY-----\nxxxx\nxxxx\n-----END PRIVATE KEY-----\n\"\"\"\nb\n"},
		{`f("-----BEGIN EC PRIVATE KEY-----\nMIG\n-----END EC PRIVATE KEY-----\n", 1)` + "\nc", `f("-----BEGIN EC PRIVATE KEY-----xxxxxxx-----END EC PRIVATE KEY-----\n", 1)` + "\nc"},
		{"-----BEGIN PRIVATE KEY-----\nMIG\nü MIG", "-----BEGIN PRIVATE KEY-----\nxxx\nx xxx"},
		{"-----BEGIN PRIVATE KEY-----a-----END PRIVATE KEY----- -----BEGIN PRIVATE KEY-----b-----END", "-----BEGIN PRIVATE KEY-----x-----END PRIVATE KEY----- -----BEGIN PRIVATE KEY-----x-----END"},
		{"-----BEGIN PRIVATE KEY-----a-----END x-----BEGIN PRIVATE KEY-----secret", "-----BEGIN PRIVATE KEY-----x-----END x-----BEGIN PRIVATE KEY-----xxxxxx"},
	} {
		if got := Source(test.text); got != test.want {
			t.Errorf("Source(%q) is\n%q, want\n%q", test.text, got, test.want)
		}
	}
}
