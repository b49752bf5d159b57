package main

import (
	"net/url"
	"slices"
	"strings"
)

// purl returns a package URL. The namespace has segments that are separated by slashes, or is empty; a qualifier
// without a value is left out.
func purl(kind, namespace, name, version string, qualifiers map[string]string) string {
	var b strings.Builder
	b.WriteString("pkg:" + kind + "/")
	for segment := range strings.SplitSeq(namespace, "/") {
		if segment != "" {
			b.WriteString(escaped(segment) + "/")
		}
	}
	b.WriteString(escaped(name))
	if version != "" {
		b.WriteString("@" + escaped(version))
	}
	var with []string
	for key, value := range qualifiers {
		if value != "" {
			with = append(with, key+"="+escaped(value))
		}
	}
	if len(with) > 0 {
		slices.Sort(with)
		b.WriteString("?" + strings.Join(with, "&"))
	}
	return b.String()
}

// escaped encodes everything that has a meaning in a package URL. A colon has none where it is.
func escaped(s string) string {
	return strings.NewReplacer("+", "%20", "%3A", ":", "%7E", "~").Replace(url.QueryEscape(s))
}
