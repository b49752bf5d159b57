package chart

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// patchable are the kinds of objects that generated charts can have.
var patchable = []any{
	appsv1.DaemonSet{}, appsv1.Deployment{}, appsv1.StatefulSet{}, autoscalingv2.HorizontalPodAutoscaler{}, batchv1.CronJob{}, batchv1.Job{},
	corev1.ConfigMap{}, corev1.PersistentVolumeClaim{}, corev1.Service{}, corev1.ServiceAccount{}, networkingv1.Ingress{}, networkingv1.NetworkPolicy{},
	policyv1.PodDisruptionBudget{}, rbacv1.Role{}, rbacv1.RoleBinding{},
}

// TestGenerateFields: internal/kubepatch/fields.txt has the fields of these kinds.
func TestGenerateFields(t *testing.T) {
	const file = "../../internal/kubepatch/fields.txt"
	types := map[string]string{}
	for _, v := range patchable {
		collect(t, reflect.TypeOf(v), types)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(types)) {
		fmt.Fprintf(&b, "%s%s\n", name, types[name])
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != b.String() {
		t.Errorf("%s is out of date (%v): run make generate", file, err)
	}
}

// collect adds the fields of a type, and those of its fields.
func collect(t *testing.T, of reflect.Type, types map[string]string) {
	if _, done := types[of.Name()]; done {
		return
	}
	types[of.Name()] = ""
	types[of.Name()] = fieldsOf(t, of, types)
}

// fieldsOf returns the fields of a struct, with those of structs that are inlined.
func fieldsOf(t *testing.T, of reflect.Type, types map[string]string) (text string) {
	for i := range of.NumField() {
		f := of.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case strings.Contains(opts, "inline"), f.Anonymous && name == "":
			text += fieldsOf(t, f.Type, types)
			continue
		case name == "" || name == "-":
			continue
		}
		form := formOf(t, f.Type, types)
		if strings.HasPrefix(form, "[]") && slices.Contains(strings.Split(f.Tag.Get("patchStrategy"), ","), "merge") {
			form += "/" + f.Tag.Get("patchMergeKey")
		}
		text += " " + name + ":" + form
	}
	return text
}

// formOf returns the form of a type: a type by its name, [] and a form for a list, {} and a
// form for a map, or one of bool, int, string, any and quantity.
func formOf(t *testing.T, of reflect.Type, types map[string]string) string {
	switch of {
	case reflect.TypeFor[intstr.IntOrString](), reflect.TypeFor[metav1.FieldsV1]():
		return "any"
	case reflect.TypeFor[resource.Quantity]():
		return "quantity"
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime](), reflect.TypeFor[[]byte]():
		return "string"
	}
	switch of.Kind() {
	case reflect.Pointer:
		return formOf(t, of.Elem(), types)
	case reflect.Slice:
		return "[]" + formOf(t, of.Elem(), types)
	case reflect.Map:
		return "{}" + formOf(t, of.Elem(), types)
	case reflect.Struct:
		collect(t, of, types)
		return of.Name()
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int32, reflect.Int64:
		return "int"
	}
	t.Errorf("no form for %s", of)
	return "any"
}
