package build

import (
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"

	_ "github.com/moby/buildkit/client/connhelper/dockercontainer" // makes docker-container:// known
	_ "github.com/moby/buildkit/client/connhelper/kubepod"         // makes kube-pod:// known
	"github.com/moby/buildkit/client/connhelper/ssh"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/runtime"
)

// schemes are those of addresses, with an example of each, and the program that connects to it.
var schemes = []struct{ name, example, program string }{
	{"unix", "unix:///run/buildkit/buildkitd.sock", ""},
	{"tcp", "tcp://host:1234", ""},
	{"ssh", "ssh://user@host", "ssh"},
	{"docker-container", "docker-container://name", "docker"},
	{"kube-pod", "kube-pod://name", "kubectl"},
	{"kube", "kube://namespace", ""},
	{"docker", "docker://context", "docker"},
	{"npipe", "", ""},
}

// hasProgram returns an error if the program that connects to an address is not installed.
func hasProgram(addr string) error {
	scheme, _, _ := strings.Cut(addr, "://")
	for _, s := range schemes {
		if s.name != scheme || s.program == "" {
			continue
		}
		if _, err := exec.LookPath(s.program); err != nil {
			return runtime.Advise(fmt.Errorf("the program %s connects to it: %w", s.program, err),
				runtime.Advice{Do: "install " + s.program + ", or use another builder", Options: []string{"BuildKit"}})
		}
	}
	return nil
}

// CheckAddress returns an error if an address of a builder is invalid.
func CheckAddress(addr string) error {
	scheme, rest, ok := strings.Cut(addr, "://")
	held := redact.Credentials(addr)
	switch {
	case held != "":
		return fmt.Errorf("the address has %s in it: builders know who may build by certificates or SSH keys", held)
	case !ok || rest == "" && scheme != "docker":
		return errors.New("that is not an address")
	case strings.HasSuffix(rest, "docker.sock"):
		return errors.New("that is the socket of Docker: use docker:// for the engine of the docker program, or docker://CONTEXT")
	}
	switch scheme {
	case "docker":
		if strings.ContainsAny(rest, "/:@? ") || strings.HasPrefix(rest, "-") {
			return errors.New("the address of a Docker engine is docker://CONTEXT, with the name of a context as 'docker context ls' shows it, or docker:// for the current one")
		}
	case "kube":
		if _, err := parseFarm(addr); err != nil {
			return err
		}
	case "ssh":
		u, err := url.Parse(addr)
		if err != nil {
			return errors.New("that is not an address")
		}
		if _, err := ssh.SpecFromURL(u); err != nil {
			return fmt.Errorf("that is not an address: %w", err)
		}
	}
	for _, s := range schemes {
		if scheme == s.name {
			return nil
		}
	}
	return fmt.Errorf("%s:// is not known: an address is such as %s", scheme, examples())
}

// examples lists an address of each scheme.
func examples() string {
	var all []string
	for _, s := range schemes {
		if s.example != "" {
			all = append(all, s.example)
		}
	}
	return strings.Join(all, ", ")
}
