package plan_test

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/pipelinefile/pipe/plan"
)

func ExampleFile() {
	files := []plan.File{
		{Path: "/etc/app.conf", Text: "listen 8080\n"},
		{Path: "/etc/tls/tls.key", Dir: "/etc/tls", Secret: &plan.SecretRef{Name: "web-tls", Key: "tls.key"}, Mode: 0o440},
	}
	_ = json.NewEncoder(os.Stdout).Encode(files) // these values can always be encoded
	// Output:
	// [{"path":"/etc/app.conf","text":"listen 8080\n"},{"path":"/etc/tls/tls.key","dir":"/etc/tls","secret":{"name":"web-tls","key":"tls.key"},"mode":"0440"}]
}

func ExampleFileMode() {
	var m plan.FileMode
	err := m.UnmarshalText([]byte("0440"))
	fmt.Println(m == 0o440, err)
	// Output: true <nil>
}
