package inspect

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// isMember reports whether a release of a namespace is shown as one of an environment: one
// that the environment owns, and one without an owner in its own namespace. In a further
// namespace, which it may share with anybody (E9), one without an owner is shown only if it is
// that of a service.
func isMember(env *runtime.Environment, namespace, release string, owner runtime.EnvironmentKey) bool {
	switch owner {
	case env.Key.Owner():
		return true
	case runtime.EnvironmentKey{}:
		return namespace == env.Key.Namespace() || slices.Contains(planned(env, namespace), release)
	}
	return false
}

// planned returns the releases that the plan of an environment has in a namespace.
func planned(env *runtime.Environment, namespace string) (names []string) {
	if env.Plan == nil {
		return nil
	}
	for i := range env.Plan.Services {
		if s := &env.Plan.Services[i]; env.Key.NamespaceOf(s) == namespace {
			names = append(names, s.Name)
		}
	}
	return names
}

// members are the releases of a namespace that are shown as those of an environment.
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
	m := members{whole: home, own: planned(env, namespace)}
	all, _, _, err := ins.cluster.Deployed(ctx, namespace)
	if err != nil && !apierrors.IsForbidden(err) {
		return m, err
	}
	for name, is := range all {
		switch {
		case is.Owner == env.Key.Owner():
			m.own = append(m.own, name)
		case !isMember(env, namespace, name, is.Owner):
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
