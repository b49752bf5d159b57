package runtime

import (
	"fmt"
	"strings"
)

// The labels of an object in a cluster that name the environment which owns it (E6).
const (
	// LabelPipeline is the label with the pipeline of the owner.
	LabelPipeline = "pipelinefile.github.io/pipeline"
	// LabelEnvironment is the label with the name of the owner.
	LabelEnvironment = "pipelinefile.github.io/environment"
)

// OwnerOf returns the environment that owns an object with these labels,
// or the zero key if it has no owner. Compare it with [EnvironmentKey.Owner].
func OwnerOf(labels map[string]string) EnvironmentKey {
	key := EnvironmentKey{Pipeline: labels[LabelPipeline], Name: labels[LabelEnvironment]}
	if key.Pipeline == "" || key.Name == "" {
		return EnvironmentKey{}
	}
	return key
}

// Labels returns the labels of objects that belong to the environment. An empty part of
// the key has no label.
func (k EnvironmentKey) Labels() map[string]string {
	labels := make(map[string]string)
	if k.Pipeline != "" {
		labels[LabelPipeline] = k.Pipeline
	}
	if k.Name != "" {
		labels[LabelEnvironment] = k.Name
	}
	return labels
}

// Namesakes returns the other environments whose default namespace is the same:
// pipeline "shop" and environment "dev-eu" have the same one as "shop-dev" and "eu".
func (k EnvironmentKey) Namesakes() []EnvironmentKey {
	var all []EnvironmentKey
	namespace := k.Namespace()
	for i := 1; i < len(namespace)-1; i++ {
		other := EnvironmentKey{Pipeline: namespace[:i], Name: namespace[i+1:]}
		if namespace[i] == '-' && other != k.Owner() && !strings.HasSuffix(other.Pipeline, "-") && !strings.HasPrefix(other.Name, "-") {
			all = append(all, other)
		}
	}
	return all
}

// An OwnedError means that an environment cannot use an object because it has
// another owner: a namespace, or a release or a Secret in it (SPEC E6). Nothing
// was written.
type OwnedError struct {
	Key   EnvironmentKey // the environment that would use it
	Kind  string         // "namespace", or "release" or "Secret" in it
	Name  string         // of a release or a Secret
	Owner EnvironmentKey // zero: another tool made the release, and the service does not adopt it
	// Service is the service whose namespace it is, if that is not the one of Key; Key has
	// the namespace of the service then.
	Service string
	// Exists reports whether Key has a record from before namespaces had owners.
	// Deleting it removes only its own objects.
	Exists bool
}

// Error names the object and its owner.
func (e *OwnedError) Error() string {
	object := "namespace " + e.Key.Namespace()
	if e.Name != "" {
		object = fmt.Sprintf("%s %s in %s", e.Kind, e.Name, object)
	}
	if e.Owner == (EnvironmentKey{}) {
		return object + " was not deployed by pipe"
	}
	user := e.Key.String()
	if e.Service != "" {
		user = fmt.Sprintf("service %s of %s", e.Service, user)
	}
	return fmt.Sprintf("%s belongs to %v, and cannot be used for %s", object, e.Owner, user)
}

// An ElsewhereError means that the state of an environment is kept in a different
// namespace than the one that the store uses (SPEC E1). Nothing was written: a second
// state would have its own lock.
type ElsewhereError struct {
	Key       EnvironmentKey
	Namespace string // the namespace of the state
}

// Error names the namespace of the state.
func (e *ElsewhereError) Error() string {
	if e.Namespace == e.Key.Namespace() {
		return fmt.Sprintf("the state of %v is kept in its own namespace %s", e.Key, e.Namespace)
	}
	return fmt.Sprintf("the state of %v is kept in namespace %s", e.Key, e.Namespace)
}

// A MovedError means that an environment exists in a different namespace than the one in
// which it was asked for. Nothing was written: it would exist twice.
type MovedError struct {
	Key       EnvironmentKey // as it was asked for
	Namespace string         // where it is
}

// Error names both namespaces.
func (e *MovedError) Error() string {
	return fmt.Sprintf("%v is in namespace %s, not in %s", e.Key, e.Namespace, e.Key.Namespace())
}
