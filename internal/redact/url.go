package redact

import (
	"strings"
	"unicode"
)

// Credentials reports whether an address holds credentials: a user or a password
// before the host. The address is a URL, or a reference such as
// "ghcr.io/acme/web@sha256:…". A user alone is none in an address of SSH
// ("ssh://deploy@host/x", "git@host:x") or of git, as it is not a secret there.
// What is not a valid URL is judged by what a person would have meant by it: in
// "https://me:pass/word@host" everything before the last "@" is credentials.
func Credentials(address string) bool {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return nameEnd(address) > 0 && !sshAddress(address)
	}
	return userEnd(scheme, rest) > 0
}

// URLs returns text without the credentials and the queries of the addresses in
// it, which may have a signature or a token. It is made for text that others
// wrote, such as an error of git: it takes out too much rather than too little.
func URLs(text string) string {
	if !strings.ContainsAny(text, "@?") {
		return text
	}
	var b strings.Builder
	for text != "" {
		space := strings.IndexFunc(text, unicode.IsSpace)
		if space < 0 {
			space = len(text)
		}
		word(&b, text[:space])
		end := space + len(text[space:]) - len(strings.TrimLeftFunc(text[space:], unicode.IsSpace))
		b.WriteString(text[space:end])
		text = text[end:]
	}
	return b.String()
}

// word writes one word of a text. A word may hold several addresses.
func word(b *strings.Builder, w string) {
	before, rest, ok := strings.Cut(w, "://")
	if !ok {
		if end := nameEnd(w); end > 0 && strings.Contains(w[:end], ":") {
			b.WriteString(Mark)
			w = w[end:]
		}
		b.WriteString(w)
		return
	}
	for ok {
		b.WriteString(before)
		b.WriteString("://")
		scheme := before[strings.LastIndexFunc(before, func(r rune) bool { return !schemeRune(r) })+1:]
		this, next := rest, ""
		if before, after, more := strings.Cut(rest, "://"); more {
			// The scheme of the next address is not part of this one.
			at := strings.LastIndexFunc(before, func(r rune) bool { return !schemeRune(r) }) + 1
			this, next = before[:at], before[at:]+"://"+after
		}
		if end := userEnd(scheme, this); end > 0 {
			b.WriteString(Mark)
			this = this[end:]
		}
		if path, _, query := strings.Cut(this, "?"); query {
			this = path + "?" + Mark
		}
		b.WriteString(this)
		before, rest, ok = strings.Cut(next, "://")
	}
}

func schemeRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '-' || r == '.'
}

// userEnd returns where the credentials of an address end, which is the index of
// the "@" behind them, or 0 if it has none. The address has no scheme any more.
func userEnd(scheme, address string) int {
	host := address
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	at := strings.LastIndexByte(host, '@')
	if at < 0 {
		// A password with a "/" in it looks like a port and a path.
		if _, port, ok := strings.Cut(host, ":"); ok && !strings.HasPrefix(host, "[") && !digits(port) {
			at = strings.LastIndexByte(address, '@')
		}
	}
	if at <= 0 || digest(address[at:]) {
		return 0
	}
	user := address[:at]
	if !strings.Contains(user, ":") && (user == "git" || strings.HasSuffix(scheme, "ssh")) {
		return 0
	}
	return at
}

// nameEnd is userEnd of a reference without a scheme.
func nameEnd(ref string) int {
	host, _, slash := strings.Cut(ref, "/")
	at := strings.LastIndexByte(host, '@')
	if at < 0 && slash {
		// As in userEnd; but what follows the first ":" may be a tag.
		if i := strings.IndexByte(host, ':'); i >= 0 && !digits(host[i+1:]) {
			at = strings.LastIndexByte(ref, '@')
		}
	}
	if at <= 0 || digest(ref[at:]) {
		return 0
	}
	return at
}

// sshAddress reports whether an address without a scheme is one of SSH, such as
// git@host:path.
func sshAddress(address string) bool {
	user, rest, ok := strings.Cut(address, "@")
	host, _, colon := strings.Cut(rest, ":")
	return ok && colon && !strings.ContainsAny(user, ":/") && !strings.ContainsAny(host, "@/")
}

// digest reports whether s begins as the digest of a reference does: in
// "redis:7@sha256:…" nothing is a user.
func digest(s string) bool {
	return strings.HasPrefix(s, "@sha256:") || strings.HasPrefix(s, "@sha512:")
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }
