package store

import (
	"maps"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/runtime"
)

// The labels of the objects in which pipe keeps its state.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelKind      = "pipelinefile.github.io/kind"
	// labelPiece marks a piece of a large entry; its value is the ID of the last write
	// that used it.
	labelPiece = "pipelinefile.github.io/piece-for"
	// annotationWrite is the ID of the write of a main object.
	annotationWrite = "pipelinefile.github.io/write"

	// annotationNamespace is the namespace of an environment, if that is not the default
	// one.
	annotationNamespace = "pipelinefile.github.io/namespace"

	managedBy       = "pipe"
	kindEnvironment = "environment"
	kindRun         = "run"
	kindPlan        = "plan"
	kindNamespace   = "namespace"
	kindLease       = "lease"
)

// A set is a set of labels.
type set map[string]string

// labels returns the labels of an object, without empty ones.
func labels(kind string, key runtime.EnvironmentKey) set {
	s := set(key.Labels())
	s[labelManagedBy] = managedBy
	if kind != "" {
		s[labelKind] = kind
	}
	return s
}

// keyOf returns the environment that an object of its state belongs to.
func keyOf(labels, annotations map[string]string) runtime.EnvironmentKey {
	key := runtime.EnvironmentKey{Pipeline: labels[runtime.LabelPipeline], Name: labels[runtime.LabelEnvironment]}
	return key.At(annotations[annotationNamespace])
}

// selector returns the label selector for objects with all labels of s.
func (s set) selector() string {
	var terms []string
	for _, k := range slices.Sorted(maps.Keys(s)) {
		terms = append(terms, k+"="+s[k])
	}
	return strings.Join(terms, ",")
}
