package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// ofPods is the interface of this machine in the network of the pods of a real cluster.
const ofPods = "pipe0"

// listenForPods listens on a port that pods can connect to.
func listenForPods() (net.Listener, error) {
	i, err := net.InterfaceByName(ofPods)
	if err != nil {
		return nil, err
	}
	addrs, err := i.Addrs()
	if err != nil || len(addrs) == 0 {
		return nil, fmt.Errorf("interface %s has %v: %w", ofPods, addrs, err)
	}
	ip, _, err := net.ParseCIDR(addrs[0].String())
	if err != nil {
		return nil, err
	}
	return net.Listen("tcp", net.JoinHostPort(ip.String(), "0"))
}

// scriptRegistry starts a registry that pods reach, too: $VAR is its address, and FILE has the
// certificate of its authority.
func scriptRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: registry VAR FILE")
	}
	l, err := listenForPods()
	ts.Check(err)
	addr := l.Addr().(*net.TCPAddr)
	certificate, err := selfSigned(addr.IP)
	ts.Check(err)
	server := httptest.NewUnstartedServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	server.Listener.Close()
	server.Listener, server.TLS = l, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	ts.Defer(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), authority, 0o644))
	ts.Setenv(args[0], addr.String())
}

// scriptGate starts a server that says "shut" on each connection, and "open" after the second call:
// a build waits for that. $VAR is its port, and $VAR_HOST its host.
func scriptGate() func(*testscript.TestScript, bool, []string) {
	var mu sync.Mutex
	says := map[string]string{} // by port; guarded by mu
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: gate VAR")
		}
		mu.Lock()
		defer mu.Unlock()
		if port := ts.Getenv(args[0]); port != "" {
			says[port] = "open"
			return
		}
		l, err := listenForPods()
		ts.Check(err)
		ts.Defer(func() { l.Close() })
		addr := l.Addr().(*net.TCPAddr)
		port := strconv.Itoa(addr.Port)
		says[port] = "shut"
		ts.Setenv(args[0], port)
		ts.Setenv(args[0]+"_HOST", addr.IP.String())
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				mu.Lock()
				fmt.Fprintln(conn, says[port])
				mu.Unlock()
				conn.Close()
			}
		}()
	}
}

// scriptKillPod deletes a pod, whose containers have a second to end.
func scriptKillPod(home string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 2 {
			ts.Fatalf("usage: killpod NAMESPACE POD")
		}
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(home, "cluster", "kubeconfig"))
		ts.Check(err)
		client, err := kubernetes.NewForConfig(config)
		ts.Check(err)
		second := int64(1)
		ts.Check(client.CoreV1().Pods(args[0]).Delete(context.Background(), args[1], metav1.DeleteOptions{GracePeriodSeconds: &second}))
	}
}

// selfSigned returns a certificate for an address, which signs itself.
func selfSigned(ip net.IP) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{ip}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
