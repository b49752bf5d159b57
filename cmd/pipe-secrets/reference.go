package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// A reference is a parsed reference to a value: ref+SCHEME://PATH?PARAMETERS#/KEY/KEY.
type reference struct {
	scheme string
	path   string
	params url.Values
	keys   []string // of the value in a map; none: the value is the whole document
}

// parseReference parses a reference as vals does. It is not parsed as an URL because ARNs have colons.
func parseReference(text string) (reference, error) {
	_, rest, ok := strings.Cut(text, "ref+")
	scheme, rest, isURL := strings.Cut(rest, "://")
	if !ok || !isURL {
		return reference{}, errors.New("it is not of the form ref+SCHEME://PATH#/KEY")
	}
	r := reference{scheme: scheme}
	rest, fragment, _ := strings.Cut(strings.TrimSuffix(rest, "+"), "#")
	path, query, _ := strings.Cut(rest, "?")
	var err error
	if r.path, err = url.PathUnescape(path); err != nil {
		return reference{}, errors.New("its path has an invalid escape sequence")
	}
	if r.path == "" {
		return reference{}, errors.New("it has no path")
	}
	if r.params, err = url.ParseQuery(query); err != nil { // the error may quote a parameter
		return reference{}, errors.New("its parameters are invalid")
	}
	if fragment = strings.Trim(fragment, "/"); fragment == "" {
		return r, nil
	}
	for key := range strings.SplitSeq(fragment, "/") {
		key, err := url.PathUnescape(key)
		if err != nil || key == "" {
			return reference{}, fmt.Errorf("%q is not a path of keys", "#/"+fragment)
		}
		r.keys = append(r.keys, key)
	}
	return r, nil
}

// document identifies the document of the reference, which several references can share.
func (r reference) document() string { return r.client() + "\n" + r.path }

// client identifies the client that fetches the document.
func (r reference) client() string { return r.scheme + "\n" + r.params.Encode() }

// isFile reports whether the path of the reference is that of a file.
func (r reference) isFile() bool {
	return r.scheme == "file" || r.scheme == "sops" && r.params.Get("key_type") != "base64"
}
