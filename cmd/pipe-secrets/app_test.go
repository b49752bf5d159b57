package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// send sends a request to the program and returns its response.
func send(t *testing.T, in any) response {
	t.Helper()
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	a := app{stdin: bytes.NewReader(data), stdout: &out, stderr: &errs, environ: os.Environ(), managers: managers()}
	if status := a.run(t.Context()); status != 0 || errs.Len() > 0 {
		t.Fatalf("status %d, standard error %q", status, errs.String())
	}
	var got response
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("response %q: %v", out.String(), err)
	}
	return got
}

func answerAll(t *testing.T, asks []ask) []answer {
	t.Helper()
	got := send(t, request{Version: protocol, Workspace: "/nowhere", Timeout: "1m", Ask: asks})
	if got.Error != "" || len(got.Answers) != len(asks) {
		t.Fatalf("the response is %+v", got)
	}
	return got.Answers
}

// checkAnswers compares answers with values, or with texts that errors contain, after "error: ". No error may contain
// the word "hidden", which is in all values.
func checkAnswers(t *testing.T, asks []ask, got []answer, want []string) {
	t.Helper()
	for i, w := range want {
		text, isError := strings.CutPrefix(w, "error: ")
		switch g := got[i]; {
		case isError && (g.Value != nil || !strings.Contains(g.Error, text)):
			t.Errorf("%s: %q, error %q; want error %q", asks[i].Reference, g.Value, g.Error, text)
		case !isError && (g.Error != "" || string(g.Value) != w):
			t.Errorf("%s: %q, error %q; want %q", asks[i].Reference, g.Value, g.Error, w)
		case strings.Contains(g.Error, "hidden"):
			t.Errorf("%s: error %q contains a value", asks[i].Reference, g.Error)
		}
	}
}

// TestRequests: a request that cannot be answered.
func TestRequests(t *testing.T) {
	for _, tt := range []struct {
		in   any
		want string
	}{
		{"hidden", "the request is not valid JSON"},
		{request{Version: 2}, "version 2"},
		{request{Version: protocol, Timeout: "soon"}, `"soon" is not a timeout`},
	} {
		if got := send(t, tt.in); !strings.Contains(got.Error, tt.want) || got.Version != protocol {
			t.Errorf("response to %v = %+v, want %q", tt.in, got, tt.want)
		}
	}
}

// TestArguments: it is not a command for users.
func TestArguments(t *testing.T) {
	var errs bytes.Buffer
	a := app{args: []string{"--help"}, stderr: &errs, managers: managers()}
	if status := a.run(t.Context()); status != 1 || !strings.Contains(errs.String(), "vault") {
		t.Errorf("status %d, %q", status, errs.String())
	}
}
