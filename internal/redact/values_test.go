package redact_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/internal/redact"
)

func TestValues(t *testing.T) {
	var v redact.Values
	hide := v.Except("web", "harbor-registry", "https://harbor.example.com")
	for _, value := range []string{"longer-1", "longer-1 still", "-----BEGIN-----\nline 1\nline 2\n}\n", "abcd1234", "1234efgh", "p@ss/wörd \"x\"", "x-web-y1", "harbor", "Привет", "a<b&c\n"} {
		if weak := v.Add(value); weak != "" {
			t.Errorf("Add(%q) = %s", value, weak)
		}
	}
	for in, want := range map[string]string{
		"":                                   "",
		"nothing":                            "nothing",
		"a longer-1 still b":                 "a REDACTED b",
		"a longer-1 b":                       "a REDACTED b",
		"a longer-1longer-1 still":           "a REDACTEDREDACTED",
		"log: line 2 of key":                 "log: REDACTED of key",
		"over abcd1234efgh lap":              "over REDACTED lap", // no part of either remains
		fmt.Sprintf("%q", "p@ss/wörd \"x\""): `"REDACTED"`,
		"https://me:" + url.PathEscape("p@ss/wörd \"x\"") + "@host":      "https://me:REDACTED@host",
		"a=" + url.QueryEscape("p@ss/wörd \"x\""):                        "a=REDACTED",
		"data: " + base64.StdEncoding.EncodeToString([]byte("longer-1")): "data: REDACTED=",
		"data: " + base64.StdEncoding.EncodeToString([]byte("a<b&c\n")):  "data: REDACTED",
		`{"password":"a\u003cb\u0026c"}`:                                 `{"password":"REDACTED"}`,
		"x-web-y1":                                                       "REDACTED", // it is not a name, although it contains one
		"a web y":                                                        "a web y",

		// An ordinary word, which is also in names.
		"password=harbor":                       "password=REDACTED",
		`{"password":"harbor"}`:                 `{"password":"REDACTED"}`,
		`log: "one\nharbor"`:                    `log: "one\nREDACTED"`,
		"it is harbor.":                         "it is REDACTED.",
		"pod harbor-registry-0":                 "pod harbor-registry-0",
		"pod harbor-core-0, harbors, my_harbor": "pod harbor-core-0, harbors, my_harbor",
		"https://harbor.example.com/v2":         "https://harbor.example.com/v2",
		"https://harbor.example.org":            "https://REDACTED.example.org",
		"Привет, мир":                           "REDACTED, мир",
		"Приветы":                               "Приветы",
	} {
		if got := hide(in); got != want {
			t.Errorf("hide(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWeakValues(t *testing.T) {
	var v redact.Values
	for value, want := range map[string]redact.Weakness{
		"": "", "\n": "", "abc": redact.Short, "a\nb\n": redact.Short, "{\n}\n": redact.Short, "true": redact.Common, "Postgres": redact.Common, "5432\n": redact.Common,
		"hunter": "", "123456": "", "x\nhunter\n": "",
	} {
		if got := v.Add(value); got != want {
			t.Errorf("Add(%q) = %q, want %q", value, got, want)
		}
	}
	const text = "abc is true at postgres:5432"
	if got := v.Except()(text); got != text {
		t.Errorf("weak values were searched for: %s", got)
	}
}

// FuzzValues: no value ever remains, however text and values overlap.
func FuzzValues(f *testing.F) {
	f.Add("a secret1 b", "secret1", "cret1 b")
	f.Fuzz(func(t *testing.T, text, one, two string) {
		one, two = strings.TrimSpace(one)+"-1", strings.TrimSpace(two)+"-2" // not ordinary words
		if len(one) < 4 || len(two) < 4 || strings.ContainsAny(one+two, "\n\r") || strings.Contains(redact.Mark, one[:len(one)-2]) {
			return
		}
		var v redact.Values
		v.Add(one)
		v.Add(two)
		got := v.Except()(text + one + text + two)
		for _, value := range []string{one, two} {
			if strings.Contains(strings.ReplaceAll(got, redact.Mark, "\x00"), value) && !strings.Contains(value, "\x00") {
				t.Errorf("%q is left in %q", value, got)
			}
		}
	})
}
