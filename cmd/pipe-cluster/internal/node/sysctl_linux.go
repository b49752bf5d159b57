package node

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// forward is set here, so that pods reach other hosts; the kubelet sets the others.
const forward = "net/ipv4/ip_forward"

var sysctls = []string{
	forward,
	"vm/overcommit_memory",
	"vm/panic_on_oom",
	"kernel/panic",
	"kernel/panic_on_oops",
	"kernel/keys/root_maxkeys",
	"kernel/keys/root_maxbytes",
}

func sysctlFile(name string) string { return filepath.Join("/proc/sys", name) }

// upSysctls saves the values that will be changed, unless a killed cluster has saved them before, and
// enables forwarding.
func upSysctls(d home.Dir) error {
	note := d.Path("node", "sysctls.json")
	if _, err := os.Stat(note); errors.Is(err, fs.ErrNotExist) {
		before := map[string]string{}
		for _, name := range sysctls {
			b, err := os.ReadFile(sysctlFile(name))
			if errors.Is(err, fs.ErrNotExist) {
				continue // not known to this kernel
			}
			if err != nil {
				return err
			}
			before[name] = strings.TrimSpace(string(b))
		}
		b, err := json.MarshalIndent(before, "", "  ")
		if err != nil {
			return err
		}
		if err := home.WriteFile(note, b, 0o600); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return os.WriteFile(sysctlFile(forward), []byte("1"), 0)
}

// downSysctls restores the saved values.
func downSysctls(d home.Dir) error {
	note := d.Path("node", "sysctls.json")
	b, err := os.ReadFile(note)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var before map[string]string
	if err := json.Unmarshal(b, &before); err != nil {
		return &fs.PathError{Op: "parse", Path: note, Err: err}
	}
	var errs []error
	for name, value := range before {
		now, err := os.ReadFile(sysctlFile(name))
		if err == nil && strings.TrimSpace(string(now)) != value {
			err = os.WriteFile(sysctlFile(name), []byte(value), 0)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.Remove(note)
}
