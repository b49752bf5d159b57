package inspect

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/pager"
)

// ClusterID returns the UID of the namespace kube-system, which identifies the cluster. Without
// permission to read it, it is "".
func (ins *Inspector) ClusterID(ctx context.Context) (string, error) {
	namespace, err := ins.cluster.Typed.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", ins.cluster.Explain(ctx, err)
	}
	return string(namespace.UID), nil
}

// Images returns the references to images in all namespaces: those of pods and of the
// templates of workloads, stopped ones included, with the namespaces that have them. It needs
// permission to list them.
func (ins *Inspector) Images(ctx context.Context) (map[string][]string, error) {
	all := make(map[string][]string)
	add := func(m *metav1.ObjectMeta, spec *corev1.PodSpec) {
		of := func(image string) {
			if !slices.Contains(all[image], m.Namespace) {
				all[image] = append(all[image], m.Namespace)
			}
		}
		for _, c := range slices.Concat(spec.Containers, spec.InitContainers) {
			of(c.Image)
		}
		for _, c := range spec.EphemeralContainers {
			of(c.Image)
		}
		for _, v := range spec.Volumes {
			if v.Image != nil {
				of(v.Image.Reference)
			}
		}
	}
	core, apps, batch := ins.cluster.Typed.CoreV1(), ins.cluster.Typed.AppsV1(), ins.cluster.Typed.BatchV1()
	for _, kind := range []struct {
		name string
		list func(context.Context, metav1.ListOptions) (apiruntime.Object, error)
	}{
		{"pods", page(core.Pods("").List)},
		{"podtemplates", page(core.PodTemplates("").List)},
		{"replicationcontrollers", page(core.ReplicationControllers("").List)},
		{"deployments", page(apps.Deployments("").List)},
		{"statefulsets", page(apps.StatefulSets("").List)},
		{"daemonsets", page(apps.DaemonSets("").List)},
		{"replicasets", page(apps.ReplicaSets("").List)},
		{"jobs", page(batch.Jobs("").List)},
		{"cronjobs", page(batch.CronJobs("").List)},
	} {
		err := pager.New(kind.list).EachListItem(ctx, metav1.ListOptions{}, func(o apiruntime.Object) error {
			switch o := o.(type) {
			case *corev1.Pod:
				add(&o.ObjectMeta, &o.Spec)
			case *corev1.PodTemplate:
				add(&o.ObjectMeta, &o.Template.Spec)
			case *corev1.ReplicationController:
				if o.Spec.Template != nil {
					add(&o.ObjectMeta, &o.Spec.Template.Spec)
				}
			case *appsv1.Deployment:
				add(&o.ObjectMeta, &o.Spec.Template.Spec)
			case *appsv1.StatefulSet:
				add(&o.ObjectMeta, &o.Spec.Template.Spec)
			case *appsv1.DaemonSet:
				add(&o.ObjectMeta, &o.Spec.Template.Spec)
			case *appsv1.ReplicaSet:
				// The old ones of a deployment are its history.
				if metav1.GetControllerOf(o) == nil || o.Spec.Replicas == nil || *o.Spec.Replicas > 0 {
					add(&o.ObjectMeta, &o.Spec.Template.Spec)
				}
			case *batchv1.Job:
				add(&o.ObjectMeta, &o.Spec.Template.Spec)
			case *batchv1.CronJob:
				add(&o.ObjectMeta, &o.Spec.JobTemplate.Spec.Template.Spec)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list the %s of all namespaces: %w", kind.name, ins.cluster.Explain(ctx, err))
		}
	}
	return all, nil
}

// page makes a function that lists one page of any type.
func page[T apiruntime.Object](list func(context.Context, metav1.ListOptions) (T, error)) func(context.Context, metav1.ListOptions) (apiruntime.Object, error) {
	return func(ctx context.Context, o metav1.ListOptions) (apiruntime.Object, error) { return list(ctx, o) }
}
