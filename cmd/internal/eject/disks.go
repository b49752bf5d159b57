package eject

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/plan"
)

// disksName is the file with the claims of disks. They belong to no chart, because
// several services can mount a disk.
const disksName = "disks.yaml"

// writeDisks writes the claims of the disks that the services mount, and reports
// whether they mount any.
func writeDisks(dir string, services []Service) (bool, error) {
	p := plan.Plan{}
	for _, s := range services {
		p.Services = append(p.Services, s.plan)
	}
	var docs []string
	for _, d := range p.Disks() {
		access := d.Access
		if access == "" {
			access = plan.ReadWriteOnce
		}
		spec := map[string]any{
			"accessModes": []any{access},
			"resources":   map[string]any{"requests": map[string]any{"storage": d.Size}},
		}
		if d.StorageClass != "" {
			spec["storageClassName"] = d.StorageClass
		}
		data, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": d.Claim}, "spec": spec})
		if err != nil {
			return false, err
		}
		docs = append(docs, string(data))
	}
	if len(docs) == 0 {
		return false, nil
	}
	return true, os.WriteFile(filepath.Join(dir, disksName), []byte(strings.Join(docs, "---\n")), 0o666)
}

// writeDiskCommand says how to create the claims.
func writeDiskCommand(b *strings.Builder, namespace string) {
	fmt.Fprintf(b, `## Disks

Several services can mount these disks, so their claims are in no chart. If pipe has deployed, they exist already:

`+"```sh\nkubectl --namespace %s apply --filename %s\n```\n\n", quote(namespace), disksName)
}
