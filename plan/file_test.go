package plan_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
)

// TestFile: a file has the same JSON after it was read back; its permissions are octal, and
// content that is not text is base64.
func TestFile(t *testing.T) {
	f := plan.File{Path: "/a/b", Dir: "/a", Binary: []byte{0, 0xff}, Mode: 0o440}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"path":"/a/b","dir":"/a","binary":"AP8=","mode":"0440"}`; string(data) != want {
		t.Errorf("JSON = %s, want %s", data, want)
	}
	var back plan.File
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	for _, wrong := range []string{`{"mode":"0999"}`, `{"mode":"1777"}`, `{"mode":""}`} {
		if err := json.Unmarshal([]byte(wrong), &back); err == nil {
			t.Errorf("%s is read without an error", wrong)
		}
	}
}
