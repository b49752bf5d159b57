package deploy

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"

	"helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// onlyCRDs returns an error if one of the objects of a file in the directory crds is not a CRD: Helm
// would create it before it renders the chart, with the images that it names.
func onlyCRDs(list []*resource.Info) error {
	for _, info := range list {
		if !isCRD(info) {
			return &runtime.ChartError{Err: fmt.Errorf("%s is in the directory crds of the chart, which may have only CRDs: it belongs in templates", shortName(info))}
		}
	}
	return nil
}

// checkCRDs returns an error if the directory crds of the chart has other objects than CRDs and the
// release is new. It warns of CRDs there that differ from those in the cluster, or are missing there
// although the release exists: Helm creates them with the first revision of a release and never
// updates them.
func (o *operation) checkCRDs(before *release.Release) error {
	if !o.chart.HasCRDs() {
		return nil
	}
	copied, err := o.chart.Copy()
	if err != nil {
		return nil //nolint:nilerr // the deploy reports it
	}
	was := make(map[string][]byte)
	if before != nil && before.Chart != nil {
		for _, crd := range before.Chart.CRDObjects() {
			was[crd.Filename] = crd.File.Data
		}
	}
	for _, crd := range copied.CRDObjects() {
		infos, _ := o.objects.readable(string(crd.File.Data))
		if before == nil {
			if err := onlyCRDs(infos); err != nil {
				return fmt.Errorf("%s: %w", crd.Filename, err)
			}
		}
		for _, info := range infos {
			live, err := o.objects.get(info)
			want, _ := info.Object.(*unstructured.Unstructured)
			_, file, _ := strings.Cut(crd.Filename, "/") // without the chart's name
			old, known := was[crd.Filename]
			switch {
			case apierrors.IsNotFound(err) && before != nil:
				o.warnOfCRD(info.Name, file, "is not in the cluster")
			case apierrors.IsForbidden(err) && known && !bytes.Equal(old, crd.File.Data):
				o.warnOfCRD(info.Name, file, "is another one than that of the last revision")
			case err == nil && want != nil && !covers(want.Object["spec"], live.Object["spec"]):
				o.warnOfCRD(info.Name, file, "is not as the cluster has it")
			}
		}
	}
	return nil
}

func (o *operation) warnOfCRD(name, file, what string) {
	pos, next := o.crdSource(file)
	o.emit(runtime.Warned{Diagnostic: plan.Diagnostic{
		Severity: plan.SeverityWarning, Pos: pos,
		Message: fmt.Sprintf("%s: CRD %s in %s of its chart %s, and Helm does not change it: it creates CRDs with the first revision only", o.r.Service.Name, name, file, what),
		Hint:    "apply it with: " + next,
	}})
}

// crdSource returns where a service gets a file of the directory crds from, and the command
// that applies it.
func (o *operation) crdSource(file string) (pos plan.Pos, command string) {
	const apply = "kubectl apply --server-side --filename "
	c := o.r.Service.Chart
	if c != nil && c.Git != "" {
		clone := fmt.Sprintf("git clone %s CHART && git -C CHART checkout %s && ", c.Git, cmp.Or(c.Commit, c.Version))
		return c.Pos, clone + apply + path.Join("CHART", c.Ref, file)
	}
	if c == nil {
		var n int
		if _, err := fmt.Sscanf(path.Base(file), "%d-", &n); err == nil && n >= 1 && n <= len(o.r.Service.Manifests) {
			if source := o.r.Service.Manifests[n-1].File; source != "" {
				return o.r.Service.Pos, apply + source
			}
		}
		return o.r.Service.Pos, apply + "FILE"
	}
	from := "helm show crds " + c.Ref
	if c.Repo != "" {
		from += " --repo " + c.Repo
	}
	if c.Version != "" {
		from += " --version " + c.Version
	}
	command = from + " | " + apply + "-"
	if _, err := os.Stat(filepath.Join(o.d.opts.Dir, c.Ref, file)); err == nil { // a directory of the workspace
		command = apply + path.Join(c.Ref, file)
	}
	return c.Pos, command
}

// covers reports whether have contains all of want; have may contain more,
// because the server adds defaults.
func covers(want, have any) bool {
	if want == nil || have == nil && reflect.ValueOf(want).IsZero() { // which the server omits
		return true
	}
	switch want := want.(type) {
	case map[string]any:
		has, ok := have.(map[string]any)
		if !ok {
			return len(want) == 0 && have == nil
		}
		for key, value := range want {
			if !covers(value, has[key]) {
				return false
			}
		}
		return true
	case []any:
		has, _ := have.([]any)
		if len(want) != len(has) {
			return false
		}
		for i := range want {
			if !covers(want[i], has[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(want, have) || fmt.Sprint(want) == fmt.Sprint(have)
}
