package redact

import (
	"strings"
	"unicode"
)

// keyMark is in the first and in the last line of a private key in PEM.
const keyMark = "PRIVATE KEY-----"

// HasPrivateKey reports whether text contains a private key in PEM.
func HasPrivateKey(text string) bool { return strings.Contains(text, keyMark) }

// privateKeys returns text with an x for each character of the private keys in it. Line and
// column numbers do not change.
func privateKeys(text string) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(text, keyMark)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		b.WriteString(keyMark)
		text = after
		if strings.HasPrefix(before[max(0, strings.LastIndex(before, "-----")):], "-----END") {
			continue
		}
		key := after
		if i := strings.Index(after, "-----END"); i >= 0 {
			key = after[:i]
		}
		text = after[len(key):]
		b.WriteString(strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return r
			}
			return 'x'
		}, key))
	}
}
