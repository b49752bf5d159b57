package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestText(t *testing.T) {
	page := "<!doctype html>\n<head>\n<title>Shop</title>\n</head>\n<body>\n<h1>Tea &amp; Tools</h1>\n\n<ul>\n<li>\n<p>Teapot</p>\n<p>7 <b>left</b></p>\n</li>\n</ul>\n<p>Bye\n"
	if diff := cmp.Diff([]string{"Tea & Tools", "Teapot · 7 left", "Bye"}, text(page)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestAddress(t *testing.T) {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop-demo", Name: "web"}}
	s.Spec.Ports = []corev1.ServicePort{{Port: 8080}}
	for ip, want := range map[string]string{"10.96.3.4": "http://10.96.3.4:8080/", "fd00::1": "http://[fd00::1]:8080/", "None": "", "": ""} {
		s.Spec.ClusterIP = ip
		if got, err := address(s); got != want || (err != nil) != (want == "") {
			t.Errorf("address with cluster IP %q = %q, %v; want %q", ip, got, err, want)
		}
	}
}

// Right after a deploy the first tries may find nobody, or a server that is not quite there.
func TestFetchTriesAgain(t *testing.T) {
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte("page"))
	}))
	defer server.Close()
	if got, err := fetch(t.Context(), server.URL); err != nil || got != "page" {
		t.Errorf("fetch = %q, %v; want page", got, err)
	}
}
