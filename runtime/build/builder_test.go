package build_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
)

// TestBuilderKilled kills BuildKit during a build: another one is started, and the build
// succeeds.
func TestBuilderKilled(t *testing.T) {
	host := images(t)
	at := daemon.Background{Home: t.TempDir(), Idle: time.Minute}
	t.Cleanup(func() {
		if err := at.Process().Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	pid := 0
	dir := workspace(t, files{"web/Dockerfile": shell + "RUN echo started; sleep 1; echo ended\n", "web/busybox": ""})
	b := build.New(build.Options{Dir: dir, Start: func(ctx context.Context) (string, error) {
		a, err := at.Ensure(ctx)
		if err != nil {
			return "", err
		}
		t.Cleanup(a.Release)
		pid = a.PID
		return a.Addr, nil
	}})
	t.Cleanup(func() { b.Close() })
	if _, err := at.Ensure(t.Context()); err != nil {
		unavailable(t, "buildkit", err)
	}
	var r record
	var once sync.Once
	digest, err := b.Build(t.Context(), spec("web"), host+"/web:1", func(e runtime.Body) {
		r.emit(e)
		if l, ok := e.(runtime.Log); ok && l.Text == "started" {
			once.Do(func() {
				if process, err := os.FindProcess(pid); err != nil || process.Kill() != nil {
					t.Error("BuildKit cannot be killed")
				}
			})
		}
	})
	if err != nil || head(t, host+"/web:1") != digest {
		t.Fatalf("Build = %s, %v\n%s", digest, err, r.text())
	}
	if !strings.Contains(r.text(), "retry {What:build web") {
		t.Errorf("it was not told that the build was tried again:\n%s", r.text())
	}
}

// TestBaseFromMirror configures a mirror of docker.io in BuildKit's own configuration, and in
// registries.conf, which can also replace a registry.
func TestBaseFromMirror(t *testing.T) {
	host := images(t)
	dir := workspace(t, files{
		"base/Dockerfile": "FROM scratch\nCOPY x /\n", "base/x": "of the base",
		"web/Dockerfile": "FROM debian:12\nCOPY y /\n", "web/y": "y",
		"other/Dockerfile": "FROM registry.test/acme/debian:12\nCOPY y /\n", "other/y": "y",
	})
	mustBuild(t, newBuilder(t, dir), spec("base"), host+"/library/debian:12")
	mustBuild(t, newBuilder(t, dir), spec("base"), host+"/hub/library/debian:12")
	mustBuild(t, newBuilder(t, dir), spec("base"), host+"/mirrored/acme/debian:12")
	for name, row := range map[string]struct {
		config files
		builds []string
	}{
		"buildkitd.toml": {files{"buildkit/buildkitd.toml": fmt.Sprintf("[registry.\"docker.io\"]\n  mirrors = [%q]\n", host)}, []string{"web"}},
		"registries.conf": {files{
			"buildkit/buildkitd.toml": "[registry.\"docker.io\"]\n  mirrors = [\"unused.test\"]\n",
			"registries.conf": fmt.Sprintf("[[registry]]\nprefix = \"docker.io\"\n[[registry.mirror]]\nlocation = \"%[1]s/hub\"\n"+
				"[[registry]]\nprefix = \"registry.test\"\nlocation = \"%[1]s/mirrored\"\n", host),
		}, []string{"web", "other"}},
	} {
		t.Run(name, func(t *testing.T) {
			at := daemon.Background{Home: t.TempDir(), Idle: time.Minute}
			row.config.write(t, at.Home)
			t.Cleanup(func() {
				if err := at.Process().Stop(context.Background()); err != nil {
					t.Error(err)
				}
			})
			a, err := at.Ensure(t.Context())
			if err != nil {
				unavailable(t, "buildkit", err)
			}
			t.Cleanup(a.Release)
			b := build.New(build.Options{Dir: dir, Addresses: []string{a.Addr}})
			t.Cleanup(func() { b.Close() })
			for _, id := range row.builds {
				mustBuild(t, b, spec(id), host+"/web:1")
				if got := strings.Join(listImage(t, pull(t, host+"/web:1")), " "); got != "x y" {
					t.Errorf("the image %s has %q", id, got)
				}
			}
			files{"registries.conf": "[[registry]]\nprefix = 3\n"}.write(t, at.Home)
			_, err = b.Build(t.Context(), spec("base"), host+"/web:2", func(runtime.Body) {})
			if want := "registries.conf:2:1: prefix must be a string"; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Build with a mistake in registries.conf = %v, want %s", err, want)
			}
		})
	}
}

// TestPlatforms builds for two platforms, and pushes a multi-platform image.
func TestPlatforms(t *testing.T) {
	host := images(t)
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n", "web/amd64": "x", "web/arm64": "y"})
	s := spec("web")
	s.Platforms = []string{"linux/amd64", "linux/arm64"}
	mustBuild(t, newBuilder(t, dir), s, host+"/web:1")
	got := platformsOf(t, host+"/web:1")
	if strings.Join(got, " ") != "linux/amd64 linux/arm64" {
		t.Errorf("the image is for %q", got)
	}
}

// TestTLS builds with a BuildKit behind mutual TLS.
func TestTLS(t *testing.T) {
	certs := t.TempDir()
	config := certificates(t, certs)
	addr := forward(t, buildkit(t), config)
	host := images(t)
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	file := func(name string) string { return filepath.Join(certs, name) }
	b := build.New(build.Options{Dir: dir, Addresses: []string{addr}, CacheDir: t.TempDir(),
		TLS: build.TLS{CA: file("ca.pem"), Cert: file("cert.pem"), Key: file("key.pem"), ServerName: "buildkit.test"}})
	t.Cleanup(func() { b.Close() })
	mustBuild(t, b, spec("web"), host+"/web:1")

	without := build.New(build.Options{Dir: dir, Addresses: []string{addr}, TLS: build.TLS{CA: file("ca.pem"), ServerName: "buildkit.test"}})
	if _, err := without.Identify(t.Context(), spec("web")); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("without a certificate of its own the builder got %v", err)
	}
}

// TestConnectionHelpers connects to BuildKit in a container or a pod, through fake docker and
// kubectl programs that connect to the real one.
func TestConnectionHelpers(t *testing.T) {
	socket := strings.TrimPrefix(buildkit(t), "unix://")
	bin := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"docker*", "kubectl*"} {
		files{name: fmt.Sprintf("#!/bin/sh\nexec %s dial-stdio %s\n", exe, socket)}.write(t, bin)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	host := images(t)
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	for _, addr := range []string{"docker-container://buildkitd", "kube-pod://buildkitd?namespace=ci"} {
		b := build.New(build.Options{Dir: dir, Addresses: []string{addr}})
		mustBuild(t, b, spec("web"), host+"/web:1")
		b.Close()
	}
}

// TestPlatformIsRemembered calls Identify again after the builder is gone.
func TestPlatformIsRemembered(t *testing.T) {
	dir, cache := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"}), t.TempDir()
	link := filepath.Join(t.TempDir(), "b")
	if err := os.Symlink(strings.TrimPrefix(buildkit(t), "unix://"), link); err != nil {
		t.Fatal(err)
	}
	identify := func() (string, error) {
		b := build.New(build.Options{Dir: dir, Addresses: []string{"unix://" + link}, CacheDir: cache})
		defer b.Close()
		id, err := b.Identify(t.Context(), spec("web"))
		return string(id), err
	}
	first, err := identify()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if again, err := identify(); err != nil || again != first {
		t.Errorf("without the builder Identify = %s, %v, want %s", again, err, first)
	}
}

// TestPlatformOfAny asks a builder that answers.
func TestPlatformOfAny(t *testing.T) {
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	b := build.New(build.Options{Dir: dir, Addresses: []string{"unix:///no/such.sock", buildkit(t)}})
	defer b.Close()
	if _, err := b.Identify(t.Context(), spec("web")); err != nil {
		t.Error(err)
	}
}

// forward listens with TLS and forwards to the socket of addr.
func forward(t testing.TB, addr string, config *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", strings.TrimPrefix(addr, "unix://"))
			if err != nil {
				in.Close()
				continue
			}
			go func() { io.Copy(out, in); out.Close() }()
			go func() { io.Copy(in, out); in.Close() }()
		}
	}()
	return "tcp://" + l.Addr().String()
}

// certificates writes a certificate for each side, and returns the server's configuration.
func certificates(t testing.TB, dir string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"buildkit.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	files{"ca.pem": string(cert), "cert.pem": string(cert), "key.pem": string(keyPEM)}.write(t, dir)
	pair, err := tls.X509KeyPair(cert, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"},
	}
}

// BenchmarkStart measures the time until a new embedded BuildKit answers.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		at := daemon.Background{Home: b.TempDir(), Idle: time.Minute}
		a, err := at.Ensure(b.Context())
		if err != nil {
			unavailable(b, "buildkit", err)
		}
		b.StopTimer()
		a.Release()
		if err := at.Process().Stop(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkRebuild builds an unchanged source: a process that attaches to BuildKit identifies
// it, builds it from the cache and pushes it.
func BenchmarkRebuild(b *testing.B) {
	host := images(b)
	dir := workspace(b, files{"web/Dockerfile": shell + "COPY x /\nRUN cat /x >/y\n", "web/busybox": "", "web/x": "x"})
	cache := b.TempDir()
	buildkit(b)
	rebuild := func() {
		a, err := shared().Ensure(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer a.Release()
		builder := build.New(build.Options{Dir: dir, Addresses: []string{a.Addr}, CacheDir: cache})
		defer builder.Close()
		if _, err := builder.Identify(b.Context(), spec("web")); err != nil {
			b.Fatal(err)
		}
		mustBuild(b, builder, spec("web"), host+"/web:1")
	}
	rebuild()
	for b.Loop() {
		rebuild()
	}
}
