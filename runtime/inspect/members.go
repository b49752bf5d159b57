package inspect

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// members are the releases of a namespace that are shown as those of an environment. In its
// own namespace these are all but those of other environments; in a further one, which
// it may share with anybody (E9), only its own.
type members struct {
	whole  bool // the namespace is that of the environment, or was made for it
	own    []string
	others []string
}

// has reports whether a release is shown.
func (m members) has(release string) bool {
	return !slices.Contains(m.others, release) && (m.whole || slices.Contains(m.own, release))
}

// members returns the members of a namespace. Releases that the user may not read are those
// of the environment if its plan has them.
func (ins *Inspector) members(ctx context.Context, env *runtime.Environment, namespace string) (members, error) {
	home := namespace == env.Key.Namespace()
	m := members{whole: home}
	if env.Plan != nil {
		for i := range env.Plan.Services {
			if s := &env.Plan.Services[i]; env.Key.NamespaceOf(s) == namespace {
				m.own = append(m.own, s.Name)
			}
		}
	}
	all, _, _, err := ins.cluster.Deployed(ctx, namespace)
	if err != nil && !apierrors.IsForbidden(err) {
		return m, err
	}
	for name, is := range all {
		switch is.Owner {
		case env.Key.Owner():
			m.own = append(m.own, name)
		case runtime.EnvironmentKey{}:
			if !home && !slices.Contains(m.own, name) {
				m.others = append(m.others, name)
			}
		default:
			m.others = append(m.others, name)
		}
	}
	if !home {
		n, err := ins.cluster.Typed.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		if err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
			return m, ins.cluster.Explain(ctx, err)
		}
		m.whole = err == nil && n.Annotations[observe.AnnotationMadeFor] == observe.MadeFor(env.Key)
	}
	slices.Sort(m.others)
	return m, nil
}
