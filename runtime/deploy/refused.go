package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// refusal describes which part of a change the server rejected, by its answer. patch is
// the rejected change.
func (o *objects) refusal(info *resource.Info, patch []byte, err error) runtime.RefusedChange {
	change := runtime.RefusedChange{Object: refOf(info), Why: observe.OneLine(err.Error())}
	var answer apierrors.APIStatus
	if s, ok := err.(apierrors.APIStatus); ok {
		answer = s
		change.Why = observe.Clip(observe.OneLine(answer.Status().Message), 500)
	}
	change.Rules = rulesBehind(answer, func() []string { return o.paramKinds(o.requests()) })
	if answer == nil || !apierrors.IsInvalid(err) || answer.Status().Details == nil {
		return change
	}
	var why []string
	for _, cause := range answer.Status().Details.Causes {
		if cause.Field == "" { // from an admission policy
			continue
		}
		for _, field := range changedUnder(info, patch, cause.Field) {
			if !slices.Contains(change.Fields, field) {
				change.Fields = append(change.Fields, field)
			}
		}
		if text := shortCause(cause); !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	if len(why) > 0 {
		change.Why = strings.Join(why, "; ")
		change.Rules = nil
		if isCustom(info) {
			change.Rules = rulesOfKind(info)
		}
		if o.wouldCreate(info, answer.Status().Details.Causes) {
			change.Next = o.waysOut(info, change.Fields)
		}
	}
	return change
}

// wouldCreate reports whether the server would accept the fields in a new object that it
// rejects as a change: then the fields are immutable, and their values are valid.
func (o *objects) wouldCreate(info *resource.Info, causes []metav1.StatusCause) bool {
	const suffix = "-check"
	u, ok := info.Object.(*unstructured.Unstructured)
	if !ok {
		return false
	}
	u = u.DeepCopy()
	u.SetName(strings.TrimRight(u.GetName()[:min(len(u.GetName()), plan.MaxName-len(suffix))], "-.") + suffix)
	u.SetResourceVersion("")
	err := o.direct(info).Post().
		NamespaceIfScoped(info.Namespace, info.Namespaced()).
		Resource(info.Mapping.Resource.Resource).
		VersionedParams(&metav1.CreateOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationIgnore, DryRun: []string{metav1.DryRunAll}}, metav1.ParameterCodec).
		Body(u).
		Do(o.requests()).
		Error()
	answer, ok := err.(apierrors.APIStatus)
	if !ok || !apierrors.IsInvalid(err) || answer.Status().Details == nil {
		return true
	}
	return !slices.ContainsFunc(answer.Status().Details.Causes, func(c metav1.StatusCause) bool {
		return slices.ContainsFunc(causes, func(was metav1.StatusCause) bool { return was.Field == c.Field })
	})
}

// shortCause returns the message of the server about a field, without the whole value.
func shortCause(c metav1.StatusCause) string {
	const longest, end = 300, 120
	text, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n") // for a claim, a whole diff follows
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest-end], "") + " … " + strings.ToValidUTF8(text[len(text)-end:], "")
	}
	return text
}

// changeable lists the mutable fields of kinds for which the server names only the parent
// field of a rejected change.
var changeable = map[string]map[string][]string{
	"StatefulSet.apps":      {"spec": {"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy", "minReadySeconds"}},
	"PersistentVolumeClaim": {"spec": {"resources", "volumeAttributesClassName"}},
}

// changedUnder returns the fields that the server rejected in a patch: the immutable ones
// below the field that it names, or that field itself.
func changedUnder(info *resource.Info, patch []byte, field string) []string {
	except, ok := changeable[info.Mapping.GroupVersionKind.GroupKind().String()][field]
	if !ok {
		return []string{field}
	}
	var whole map[string]any
	if err := json.Unmarshal(patch, &whole); err != nil {
		return []string{field}
	}
	in, _ := whole[field].(map[string]any)
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if !strings.HasPrefix(name, "$") && !slices.Contains(except, name) {
			fields = append(fields, field+"."+name)
		}
	}
	if len(fields) == 0 {
		return []string{field}
	}
	return fields
}

// kubectl returns a kubectl command for an object.
func kubectl(info *resource.Info, verb, rest string) string {
	text := "kubectl"
	if info.Namespaced() {
		text += " --namespace " + info.Namespace
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", text, verb, info.Mapping.Resource.GroupResource(), info.Name, rest))
}

// waysOut returns what the user can do about fields that cannot be changed: first the
// ways that lose nothing, then those that lose something, and what they lose.
func (o *objects) waysOut(info *resource.Info, fields []string) []string {
	keep := "leave " + strings.Join(fields, " and ") + " as it is"
	if len(fields) > 1 {
		keep = "leave " + strings.Join(fields, " and ") + " as they are"
	}
	again := func(loss string) string { return "or " + kubectl(info, "delete", "") + ", and run again: " + loss }
	switch info.Mapping.GroupVersionKind.GroupKind().String() {
	case "StatefulSet.apps":
		return []string{
			kubectl(info, "delete", "--cascade=orphan") + ", and run again: its pods and claims stay, and the new one takes them over; claims that exist stay as they are",
			"or " + keep,
		}
	case "Deployment.apps", "DaemonSet.apps", "ReplicaSet.apps":
		return []string{keep, again("its pods end before new ones start; no data is lost")}
	case "Job.batch":
		return []string{"give the job a name that changes with it, such as one with its image's digest, or make it a hook", again("it runs again; the logs of its pods are lost")}
	case "PersistentVolumeClaim":
		return []string{keep, "or give the volume another name and copy the data into it", again("ALL DATA of the volume is lost")}
	case "Secret", "ConfigMap":
		return []string{"give it another name in the chart", again("what is in it and not in the chart is lost")}
	case "Service":
		return []string{keep, again("it gets another address; clients that keep the old one lose their connections")}
	case "RoleBinding.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io":
		return []string{"give it another name in the chart", again("whom it is for has no rights until then")}
	}
	return []string{keep, again(lossOf(info))}
}

// lossOf says what is lost when an object is deleted.
func lossOf(info *resource.Info) string {
	switch info.Mapping.GroupVersionKind.GroupKind().String() {
	case "PersistentVolumeClaim", "PersistentVolume":
		return "ALL DATA of the volume is lost"
	case "Namespace":
		return "ALL that is in it is lost"
	case crdKind:
		return "ALL objects of its kind are lost"
	case "Secret", "ConfigMap":
		return "what is in it is lost"
	case "Deployment.apps", "DaemonSet.apps", "ReplicaSet.apps", "StatefulSet.apps", "Job.batch", "CronJob.batch", "Pod":
		return "its pods end"
	}
	if isCustom(info) {
		return "what its controller made for it may be lost"
	}
	return "what others have set on it is lost"
}

// conflict says that an object that the release would create exists already, and who
// owns it.
func (o *objects) conflict(info *resource.Info, live *unstructured.Unstructured) runtime.RefusedChange {
	change := runtime.RefusedChange{Object: refOf(info), Exists: true, Why: "it exists, and belongs to " + ownerOf(live, o.namespace) + ", not to release " + o.release}
	rename := "give it another name in " + o.source
	annotations := live.GetAnnotations()
	owner, in := annotations[observe.AnnotationRelease], annotations[annotationReleaseNamespace]
	if owner != "" && in != "" {
		change.Owner = runtime.Place{Namespace: in, Name: owner}
	}
	switch {
	case owner == o.release && in != o.namespace:
		change.Next = []string{
			fmt.Sprintf("if the service had the namespace %s before, delete the release there, with what it runs, and run again: pipe delete %s --service %s", in, o.environment, owner),
			"or " + rename,
		}
	case owner != "" && owner != o.release:
		change.Next = []string{rename + ", or take it out of release " + owner}
		if o.adopter == nil {
			change.Next = append(change.Next, "or, if another tool has deployed "+owner+", take it over: adopt=True of service "+o.release+", or --take-ownership; pipe diff shows the change")
		}
	case metav1.GetControllerOfNoCopy(live) != nil:
		change.Next = []string{rename}
	default:
		change.Next = []string{
			"to have the release take it over, and change it: adopt=True of service " + o.release + ", or --take-ownership; pipe diff shows the change",
			"or " + rename,
			"or " + kubectl(info, "delete", "") + ", and run again: " + lossOf(info),
		}
	}
	return change
}

func sortChanges(changes []runtime.RefusedChange) {
	slices.SortFunc(changes, func(a, b runtime.RefusedChange) int { return strings.Compare(a.Object.String(), b.Object.String()) })
}
