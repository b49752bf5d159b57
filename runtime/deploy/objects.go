package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"helm.sh/helm/v3/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// fieldManager is the manager name under which the server records our changes.
const fieldManager = "pipe"

// objects reads and writes the objects of one release. It does the work of Helm's own client
// with fewer requests: it reads an object once and not twice before patching it, does not query
// the server's version, and has the server validate fields instead of downloading schemas.
type objects struct {
	*cluster
	release, namespace string
	source             string // of the objects, such as "the chart of web"
	environment        string // its name, to show
	// requests returns the context of a request. It is not cancelled with the operation, because
	// writes that have started are completed (A4).
	requests func() context.Context
	adopter  *adopter // set if the release adopts what exists
	install  bool     // first install of the release

	mu      sync.Mutex
	written map[string]*resource.Info // as the server returned them, by objectID
	answers map[string]answer         // existing objects, by path; see prefetch

	scaling sync.Mutex
	scalers scalers // guarded by scaling, once the release is written
}

// objectID identifies an object of any kind.
func objectID(info *resource.Info) string {
	return info.Mapping.Resource.GroupResource().String() + " " + info.Namespace + " " + info.Name
}

func (o *objects) read(r io.Reader) (kube.ResourceList, error) {
	var list kube.ResourceList
	var add func(u *unstructured.Unstructured) error
	add = func(u *unstructured.Unstructured) error {
		if u.IsList() {
			return u.EachListItem(func(item kruntime.Object) error { return add(item.(*unstructured.Unstructured)) })
		}
		info, err := o.info(u)
		if err == nil {
			list = append(list, info)
		}
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(r, 4096)
	for {
		var u unstructured.Unstructured
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		if len(u.Object) == 0 {
			continue
		}
		if err := add(&u); err != nil {
			return nil, err
		}
	}
}

func (o *objects) info(u *unstructured.Unstructured) (*resource.Info, error) {
	gvk := u.GroupVersionKind()
	if gvk.Kind == "" || gvk.Version == "" {
		return nil, fmt.Errorf("an object has no kind or apiVersion: %s", observe.Clip(fmt.Sprint(u.Object), 200))
	}
	if u.GetName() == "" {
		return nil, fmt.Errorf("an object of kind %s has no name", gvk.Kind)
	}
	mapping, err := o.mapping(gvk)
	if err != nil {
		return nil, err
	}
	client, err := o.clientFor(mapping.GroupVersionKind.GroupVersion())
	if err != nil {
		return nil, err
	}
	if o.install {
		if client, err = o.newClient(mapping.GroupVersionKind.GroupVersion(), &http.Client{Transport: answering{o, o.Client.Transport}}); err != nil {
			return nil, err
		}
	}
	namespace := ""
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if namespace = u.GetNamespace(); namespace == "" {
			namespace = o.namespace
		}
	}
	u.SetNamespace(namespace)
	return &resource.Info{Client: client, Mapping: mapping, Namespace: namespace, Name: u.GetName(), Object: u}, nil
}

// each calls do for each object: in the order of the list, but concurrently for
// objects that do not depend on each other.
func (o *objects) each(list kube.ResourceList, do func(*resource.Info) error) error {
	var all []error
	for len(list) > 0 {
		n := 1
		for n < len(list) && independent(list[n-1], list[n]) {
			n++
		}
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i, info := range list[:n] {
			wg.Go(func() { errs[i] = do(info) })
		}
		wg.Wait()
		all = append(all, errs...)
		list = list[n:]
	}
	return errors.Join(all...)
}

// independent reports whether two consecutive objects in Helm's order can be
// written concurrently: those of one kind, as with Helm, and those to which
// only later objects refer.
func independent(a, b *resource.Info) bool {
	plain := func(info *resource.Info) bool {
		switch info.Mapping.GroupVersionKind.GroupKind().String() {
		case "ServiceAccount", "Secret", "ConfigMap", "PersistentVolumeClaim", "Service", "PodDisruptionBudget.policy", "NetworkPolicy.networking.k8s.io":
			return true
		}
		return false
	}
	return a.Mapping.GroupVersionKind == b.Mapping.GroupVersionKind || plain(a) && plain(b)
}

func (o *objects) post(info *resource.Info) error {
	obj, err := o.direct(info).Post().
		NamespaceIfScoped(info.Namespace, info.Namespaced()).
		Resource(info.Mapping.Resource.Resource).
		VersionedParams(&metav1.CreateOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationWarn}, metav1.ParameterCodec).
		Body(info.Object).
		Do(o.requests()).
		Get()
	if err != nil {
		return fmt.Errorf("create %s: %w", shortName(info), err)
	}
	o.wrote(info, obj)
	return nil
}

// wrote stores the server's version of an object.
func (o *objects) wrote(info *resource.Info, obj kruntime.Object) {
	_ = info.Refresh(obj, true) // an answer without a name is harmless
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.written == nil {
		o.written = make(map[string]*resource.Info)
	}
	o.written[objectID(info)] = info
}

// asWritten returns an object as the server returned it, or nil if it was not
// written.
func (o *objects) asWritten(info *resource.Info) *resource.Info {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written[objectID(info)]
}

// direct returns a client that always queries the server.
func (o *objects) direct(info *resource.Info) resource.RESTClient {
	client, err := o.clientFor(info.Mapping.GroupVersionKind.GroupVersion())
	if err != nil {
		return info.Client // it was made in the same way
	}
	return client
}

// get returns the object that the server has under the name of info.
func (o *objects) get(info *resource.Info) (*unstructured.Unstructured, error) {
	obj, err := o.direct(info).Get().
		NamespaceIfScoped(info.Namespace, info.Namespaced()).
		Resource(info.Mapping.Resource.Resource).
		Name(info.Name).
		Do(o.requests()).
		Get()
	if err != nil {
		return nil, err
	}
	live, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("the server answered with a %T", obj)
	}
	return live, nil
}

// patchTo returns the patch that makes live match info: the changes since base, which is that
// of the decision.
func (o *objects) patchTo(base, info *resource.Info, live *unstructured.Unstructured) ([]byte, types.PatchType, error) {
	if err := o.keepScale(base, info, live); err != nil {
		return nil, "", err
	}
	was := revive(base.Object, info.Object, live)
	patch, kind, err := patchFor(info.Mapping, was, info.Object, live)
	if err != nil {
		err = fmt.Errorf("compare %s with what is deployed: %w", shortName(info), err)
	}
	return patch, kind, err
}

func (o *objects) patch(info *resource.Info, kind types.PatchType, patch []byte) (kruntime.Object, error) {
	options := &metav1.PatchOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationWarn}
	obj, err := o.send(info, kind, patch, options)
	switch {
	case err == nil:
	case apierrors.IsInvalid(err):
		err = &runtime.RefusedError{Release: o.release, Changes: []runtime.RefusedChange{o.refusal(info, patch, err)}}
	default:
		err = fmt.Errorf("change %s: %w", shortName(info), err)
	}
	return obj, err
}

func (o *objects) send(info *resource.Info, kind types.PatchType, patch []byte, options *metav1.PatchOptions) (kruntime.Object, error) {
	return o.direct(info).Patch(kind).
		NamespaceIfScoped(info.Namespace, info.Namespaced()).
		Resource(info.Mapping.Resource.Resource).
		Name(info.Name).
		VersionedParams(options, metav1.ParameterCodec).
		Body(patch).
		Do(o.requests()).
		Get()
}

// patchFor returns the patch that makes live match target: the changes from was
// to target, without reverting what others have changed since.
func patchFor(mapping *meta.RESTMapping, was, target, live kruntime.Object) ([]byte, types.PatchType, error) {
	var docs [3][]byte
	for i, obj := range []kruntime.Object{was, target, live} {
		var err error
		if docs[i], err = json.Marshal(obj); err != nil {
			return nil, "", err
		}
	}
	typed, err := scheme.Scheme.New(mapping.GroupVersionKind)
	if err != nil { // a kind that only the server knows
		patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(docs[0], docs[1], docs[2])
		return bytes.TrimSpace(patch), types.MergePatchType, err
	}
	schema, err := strategicpatch.NewPatchMetaFromStruct(typed)
	if err != nil {
		return nil, "", err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(docs[0], docs[1], docs[2], schema, true)
	return bytes.TrimSpace(patch), types.StrategicMergePatchType, err
}

func (o *objects) remove(info *resource.Info, options *metav1.DeleteOptions) error {
	err := o.direct(info).Delete().
		NamespaceIfScoped(info.Namespace, info.Namespaced()).
		Resource(info.Mapping.Resource.Resource).
		Name(info.Name).
		Body(options).
		Do(o.requests()).
		Error()
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", shortName(info), err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.written, objectID(info))
	return nil
}

// refOf identifies an object to other packages.
func refOf(info *resource.Info) runtime.ObjectRef {
	kind := info.Mapping.GroupVersionKind.GroupKind()
	return runtime.ObjectRef{Group: kind.Group, Kind: kind.Kind, Namespace: info.Namespace, Name: info.Name}
}

// shortName returns the name of an object in messages, such as "deployment
// api".
func shortName(info *resource.Info) string { return refOf(info).String() }
