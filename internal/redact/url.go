package redact

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Credentials returns which part of an address must not be shown, as words for a message,
// or "": a user or a password before the host, or a query, which may contain a token or a
// signature. The address is a URL, or a reference such as "ghcr.io/acme/web@sha256:…". A
// user without a password is not a secret in an SSH address ("ssh://deploy@host/x",
// "git@host:x") or in one of git. An invalid URL is interpreted as a person would mean it:
// in "https://me:pass/word@host", the credentials are everything before the last "@".
func Credentials(address string) string {
	end := 0
	scheme, rest, ok := strings.Cut(address, "://")
	if ok {
		end = userEnd(scheme, rest)
	} else if rest = address; !sshAddress(address) {
		end = nameEnd(address)
	}
	if end > 0 {
		return "a user or a password"
	}
	if len(queryValues(rest)) > 0 {
		return "a query that may hold a token"
	}
	return ""
}

// URLs returns text without the credentials and the queries of the addresses in it, as a
// query may contain a signature or a token. It is for output of other programs, such as
// an error of git, and removes too much rather than too little.
func URLs(text string) string {
	return cut(text, true, func(string) string { return Mark })
}

// Source returns the text of a source file without the credentials of the addresses in
// it, and without private keys. Line and column numbers do not change.
func Source(text string) string {
	return cut(privateKeys(text), false, func(s string) string { return strings.Repeat("x", utf8.RuneCountInString(s)) })
}

// cut replaces the secret parts of text.
func cut(text string, queries bool, replace func(string) string) string {
	if !strings.ContainsAny(text, "@?") {
		return text
	}
	var b strings.Builder
	for text != "" {
		space := strings.IndexFunc(text, unicode.IsSpace)
		if space < 0 {
			space = len(text)
		}
		word := text[:space]
		done := 0
		for _, s := range secrets(word, queries) {
			b.WriteString(word[done:s.from])
			b.WriteString(replace(word[s.from:s.to]))
			done = s.to
		}
		b.WriteString(word[done:])
		text = text[space:]
		if text != "" {
			_, n := utf8.DecodeRuneInString(text)
			b.WriteString(text[:n])
			text = text[n:]
		}
	}
	return b.String()
}

// A span is a part of a string.
type span struct{ from, to int }

// secrets returns the secret parts of a word, in order. A word may contain several
// addresses.
func secrets(word string, queries bool) []span {
	before, rest, ok := strings.Cut(word, "://")
	if !ok {
		// Here "me@host" may be an email address, but "me:secret@host" cannot be one.
		end := nameEnd(word)
		user, _, ok := strings.Cut(word[:end], ":")
		if from := strings.LastIndexAny(user, `"'([{<=,`) + 1; ok && from < len(user) {
			return []span{{from, end}}
		}
		values := queryValues(word)
		if !queries || len(values) == 0 {
			return values
		}
		// Without a scheme, "?" may have any meaning.
		q := strings.IndexByte(word, '?')
		if !strings.ContainsAny(word[:q], "./") || !strings.Contains(word[q:values[0].from], "=") {
			return nil
		}
		return []span{{q + 1, len(word)}}
	}
	var found []span
	for ok {
		scheme := before[schemeStart(before):]
		this, next := rest, ""
		if b, _, more := strings.Cut(rest, "://"); more {
			// The scheme of the next address is not part of this one.
			at := schemeStart(b)
			this, next = rest[:at], rest[at:]
		}
		from := len(word) - len(rest)
		end := userEnd(scheme, this)
		if end > 0 {
			found = append(found, span{from, from + end})
		}
		if q := strings.IndexByte(this[end:], '?'); q >= 0 && queries {
			found = append(found, span{from + end + q + 1, from + len(this)})
		} else if q >= 0 {
			for _, v := range queryValues(this[end:]) {
				found = append(found, span{from + end + v.from, from + end + v.to})
			}
		}
		before, rest, ok = strings.Cut(next, "://")
	}
	return found
}

// harmless are query parameters that are not secret: those of a builder's address
// (kube-pod://name?namespace=ci).
var harmless = []string{"context", "namespace", "container", "kubeconfig"}

// queryValues returns the positions of the values in the query of an address, if it has
// one. The end of a string literal of a program may follow the address.
func queryValues(address string) []span {
	q := strings.IndexByte(address, '?')
	if q < 0 {
		return nil
	}
	var found []span
	for from := q + 1; from < len(address); {
		n := strings.IndexAny(address[from:], "&;\"'`)],}>#")
		if n < 0 {
			n = len(address) - from
		}
		name, value, ok := strings.Cut(address[from:from+n], "=")
		if !ok {
			name, value = "", name
		}
		if value != "" && !slices.Contains(harmless, name) {
			found = append(found, span{from + n - len(value), from + n})
		}
		if from += n + 1; from <= len(address) && !strings.ContainsRune("&;", rune(address[from-1])) {
			break
		}
	}
	return found
}

// schemeStart returns the index of the scheme at the end of s.
func schemeStart(s string) int {
	return strings.LastIndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '+' && r != '-' && r != '.'
	}) + 1
}

// userEnd returns the end of the credentials of an address, which is the index of the "@"
// after them, or 0 if it has none. The address is passed without its scheme.
func userEnd(scheme, address string) int {
	host := address
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	at := strings.LastIndexByte(host, '@')
	if at < 0 {
		// A password that contains "/" looks like a port and a path.
		if _, port, ok := strings.Cut(host, ":"); ok && !strings.HasPrefix(host, "[") && !digits(port) {
			at = strings.LastIndexByte(address, '@')
		}
	}
	if at <= 0 || strings.HasPrefix(address[at:], "@sha256:") {
		return 0
	}
	user := address[:at]
	if !strings.Contains(user, ":") && (user == "git" || strings.HasSuffix(scheme, "ssh")) {
		return 0
	}
	return at
}

// nameEnd does the same as userEnd for a reference without a scheme, or with a mistyped
// one.
func nameEnd(ref string) int {
	for _, algorithm := range []string{"@sha256:", "@sha512:"} {
		ref, _, _ = strings.Cut(ref, algorithm)
	}
	at := strings.LastIndexByte(ref, '@')
	switch {
	case at <= 0:
		return 0
	case strings.Contains(ref[:at], ":"):
		return at
	}
	// "me@host/x" has a user, but "redis@v1.2" has a tag where a digest is expected.
	host, _, _ := strings.Cut(ref[at+1:], "/")
	if strings.Contains(ref[:at], "/") || !hostname.MatchString(host) {
		return 0
	}
	return at
}

// hostname matches strings that are a host rather than a tag or a version.
var hostname = regexp.MustCompile(`^((localhost|\[.*\]|([0-9]{1,3}\.){3}[0-9]{1,3}|[\w-]+(\.[\w-]+)*\.[a-zA-Z]{2,})(:[0-9]{1,5})?|[\w-]+:[0-9]{1,5})$`)

// sshAddress reports whether an address without a scheme is an SSH address, such as
// git@host:path, and not that of a registry with a port.
func sshAddress(address string) bool {
	user, rest, ok := strings.Cut(address, "@")
	host, path, colon := strings.Cut(rest, ":")
	port, _, _ := strings.Cut(path, "/")
	return ok && colon && !strings.ContainsAny(user, ":/") && !strings.ContainsAny(host, "@/") && (user == "git" || !digits(port))
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }
