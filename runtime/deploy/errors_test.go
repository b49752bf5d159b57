package deploy_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	accessv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// A wire is a connection to the API server that can be cut.
type wire struct {
	listener net.Listener
	backend  string

	mu      sync.Mutex
	conns   map[net.Conn]bool
	down    bool
	refused int // number of connections while it was down
}

// newWire returns a wire and a config for clients that use it.
func newWire(t *testing.T, config *rest.Config) (*wire, *rest.Config) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	backend := strings.TrimPrefix(config.Host, "https://")
	w := &wire{listener: listener, backend: backend, conns: make(map[net.Conn]bool)}
	var wg sync.WaitGroup
	wg.Go(func() { w.serve(&wg) })
	t.Cleanup(func() {
		listener.Close()
		w.cut(true)
		wg.Wait()
	})
	host, _, err := net.SplitHostPort(backend)
	if err != nil {
		t.Fatal(err)
	}
	config = rest.CopyConfig(config)
	config.Host = "https://" + listener.Addr().String()
	config.ServerName = host
	return w, config
}

func (w *wire) serve(wg *sync.WaitGroup) {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.backend)
		if err != nil || !w.keep(conn, server) {
			conn.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{conn, server}, {server, conn}} {
			wg.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				pair[0].Close()
			})
		}
	}
}

func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.down {
			w.refused++
			c.Close()
			continue
		}
		w.conns[c] = true
	}
	return !w.down
}

// await waits until the connections are in the wanted state.
func (w *wire) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		is := ok()
		w.mu.Unlock()
		if is {
			return
		}
	}
	t.Fatalf("after a minute it is not so: %s", what)
}

// cut closes all connections; while it is down, new ones are refused.
func (w *wire) cut(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
	for c := range w.conns {
		c.Close()
		delete(w.conns, c)
	}
}

// TestCutWatch cuts the connection during the wait for a release: the watches are resumed,
// and show what happened meanwhile.
func TestCutWatch(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	w, cuttable := newWire(t, config)
	b := newBench(t, deploy.Options{Config: cuttable})
	k := newKubelet(t, config, starts)
	s := k.on(with(container("api"), "good"))
	done := make(chan error, 1)
	waiting := make(chan struct{})
	r := b.release(s)
	go func() {
		var once sync.Once
		done <- b.Act(t.Context(), runtime.Deploy, r, func(e runtime.Body) {
			if _, ok := e.(runtime.PodChanged); ok {
				once.Do(func() { close(waiting) })
			}
		})
	}()
	<-waiting
	w.cut(false)
	w.await(t, "it is connected again", func() bool { return len(w.conns) > 0 })
	w.cut(true)
	k.now(runs) // while no watch is connected
	w.await(t, "it tries to connect", func() bool { return w.refused > 0 })
	w.cut(false)
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Deploy = %v", explained(err))
		}
	case <-time.After(time.Minute):
		t.Fatal("it was not seen that the release is ready")
	}
	if d := b.deployed("api"); !d.Ready {
		t.Errorf("%+v is deployed", d)
	}
}

// TestServerGone checks what is reported if the API server becomes unreachable permanently
// during the wait for a release, and that a later deploy only waits for the release.
func TestServerGone(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	w, cuttable := newWire(t, config)
	b := newBench(t, deploy.Options{Config: cuttable})
	k := newKubelet(t, config, starts)
	s := k.on(with(container("api"), "good"))
	s.Timeout = plan.Duration(5 * time.Second)
	r := b.release(s)
	var once sync.Once
	err := b.Act(t.Context(), runtime.Deploy, r, func(e runtime.Body) {
		if _, ok := e.(runtime.PodChanged); ok {
			once.Do(func() { w.cut(true) })
		}
	})
	if !errors.Is(err, runtime.ErrTimeout) {
		t.Fatalf("Deploy = %v, want a timeout", err)
	}
	contains(t, err.Error(), "cluster "+cuttable.Host+" does not answer", "timed out after 5s: deployment api: ", "the cluster cannot be asked any more", "run again")
	_, err = b.Deployed(t.Context(), b.namespace)
	if err == nil {
		t.Fatal("Deployed = nil")
	}
	contains(t, err.Error(), "cluster "+cuttable.Host+" does not answer")
	w.cut(false)
	k.now(runs)
	b.deploy(s)
	if d := b.deployed("api"); !d.Ready || d.Revision != 1 {
		t.Errorf("%+v is deployed, want revision 1, ready", d)
	}
}

func TestNoCluster(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	nowhere := rest.CopyConfig(config)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere.Host = "https://" + listener.Addr().String()
	listener.Close()
	stranger := rest.AnonymousClientConfig(config)
	stranger.BearerToken = "4711-no-token"
	other := rest.CopyConfig(config)
	other.CAData, other.CAFile = nil, ""
	for name, test := range map[string]struct {
		config *rest.Config
		want   []string
	}{
		"nothing there":     {nowhere, []string{"cluster " + nowhere.Host + " does not answer: nothing listens there; start it, or name another one: ", "connection refused"}},
		"wrong credentials": {stranger, []string{"cluster " + config.Host + " does not accept the credentials of the kubeconfig; log in again"}},
		"another authority": {other, []string{"cluster " + config.Host + " is not the one that the kubeconfig is for, or its certificate is new; get the kubeconfig again"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployer(t, deploy.Options{Config: test.config})
			r := runtime.Release{Namespace: "none", Service: container("api"), Fingerprint: plan.DigestOf(nil)}
			_, err := d.Deployed(t.Context(), "none")
			for name, err := range map[string]error{
				"Deployed": err,
				"Prepare":  d.Prepare(t.Context(), keyOf("none-dev"), planOf(container("api"))),
				"Deploy":   d.Act(t.Context(), runtime.Deploy, r, discard),
				"Stop":     d.Act(t.Context(), runtime.Stop, r, discard),
				"Delete":   d.Act(t.Context(), runtime.Delete, r, discard),
			} {
				if err == nil {
					t.Errorf("%s = nil", name)
					continue
				}
				contains(t, err.Error(), test.want...)
				if strings.Contains(err.Error(), "4711") {
					t.Errorf("%s tells the token: %v", name, err)
				}
			}
		})
	}
}

// limited returns the config of a user with the given permissions in a namespace.
func limited(t *testing.T, namespace string, rules ...rbacv1.PolicyRule) *rest.Config {
	t.Helper()
	config := testenv.Cluster(t)
	c := client(t, config)
	name := metav1.ObjectMeta{Name: "limited"}
	if _, err := c.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: name}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: name, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "limited"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "limited", Namespace: namespace}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The API server uses the state from its own watches.
	for allowed := len(rules) == 0; !allowed; time.Sleep(20 * time.Millisecond) {
		resource, subresource, _ := strings.Cut(rules[0].Resources[0], "/")
		review, err := c.AuthorizationV1().LocalSubjectAccessReviews(namespace).Create(t.Context(), &accessv1.LocalSubjectAccessReview{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace},
			Spec: accessv1.SubjectAccessReviewSpec{
				User: "system:serviceaccount:" + namespace + ":limited",
				ResourceAttributes: &accessv1.ResourceAttributes{
					Namespace: namespace, Verb: rules[0].Verbs[0], Group: rules[0].APIGroups[0], Resource: resource, Subresource: subresource,
				},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		allowed = review.Status.Allowed
	}
	token, err := c.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), "limited", &authv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config = rest.AnonymousClientConfig(config)
	config.BearerToken = token.Status.Token
	return config
}

// TestRights checks that permissions in the namespace are sufficient for a deploy (E1), that
// missing optional permissions do not matter, and that a missing permission is named.
func TestRights(t *testing.T) {
	t.Parallel()
	all := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	secrets := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: all}
	core := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services", "serviceaccounts"}, Verbs: all}
	apps := rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: all}
	blind := rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "create", "patch", "delete"}}
	for _, test := range []struct {
		name  string
		rules []rbacv1.PolicyRule
		want  []string
	}{
		{"enough", []rbacv1.PolicyRule{secrets, core, apps}, nil},
		{"no secrets", []rbacv1.PolicyRule{core, apps}, []string{`cannot list resource "secrets" in API group "" in the namespace`, "have a Role with this right bound to you in the namespace"}},
		{"no deployments", []rbacv1.PolicyRule{secrets, core}, []string{`cannot get resource "deployments" in API group "apps"`, "have a Role with this right"}},
		{"no watch", []rbacv1.PolicyRule{secrets, core, blind}, []string{"see whether deployment api is ready", `cannot`, `resource "deployments"`, "have a Role with this right"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, deploy.Options{})
			config := limited(t, b.namespace, test.rules...)
			d := newDeployer(t, deploy.Options{Config: config})
			if err := d.Prepare(t.Context(), keyOf(b.namespace), planOf(container("api"))); err != nil {
				t.Errorf("Prepare = %v", err)
			}
			err := d.Act(t.Context(), runtime.Deploy, b.release(container("api")), discard)
			if (err != nil) != (test.want != nil) {
				t.Fatalf("Deploy = %v, want %q", err, test.want)
			}
			if err != nil {
				contains(t, err.Error(), test.want...)
				var failed *runtime.ReleaseError
				if errors.As(err, &failed) && failed.Cause != runtime.CauseRights {
					t.Errorf("the cause is %q", failed.Cause)
				}
				return
			}
			if got := b.deployed("api"); !got.Ready {
				t.Errorf("%+v is deployed", got)
			}
			// Without permissions for namespaces, others must create a missing one.
			err = d.Prepare(t.Context(), keyOf(b.namespace+"-none"), planOf(using(container("api"), "X", plan.SecretRef{Name: "x"})))
			if err == nil {
				t.Error("Prepare of a namespace without rights = nil")
			}
		})
	}
}
