package main

import (
	"archive/zip"
	"bytes"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAPK(t *testing.T) {
	t.Parallel()
	const installed = `C:Q1yc=
P:libcrypto3
V:3.3.2-r1
A:x86_64
L:Apache-2.0
o:openssl
F:lib
R:libcrypto.so.3

P:musl
V:1.2.5-r0
A:x86_64
L:MIT
o:musl
`
	want := []string{
		"libcrypto3 3.3.2-r1 Apache-2.0 pkg:apk/alpine/libcrypto3@3.3.2-r1?arch=x86_64&distro=alpine-3.20.3&upstream=openssl",
		"musl 1.2.5-r0 MIT pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.3",
	}
	release := "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.3\n"
	checkFound(t, tempTree(t, map[string]string{"lib/apk/db/installed": installed, "etc/os-release": release}), want...)
	// Links to the directories of /usr.
	checkFound(t, tempTree(t, map[string]string{"usr/lib/apk/db/installed": installed, "lib": "-> usr/lib", "usr/lib/os-release": release, "etc/os-release": "-> ../usr/lib/os-release"}), want...)
}

func TestDpkg(t *testing.T) {
	t.Parallel()
	status := `Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Source: glibc (2.36-9)
Version: 2.36-9+deb12u8
Depends: ` + strings.Repeat("libgcc-s1, ", 20000) + `
Description: GNU C Library
 Version: 0
 .

Package: gone
Status: deinstall ok config-files
Version: 1

Package: never
Status: unknown ok not-installed

Package: broken
Status: install ok half-configured
Version: 3

Package: later
Status: install ok triggers-awaited
Version: 4

`
	release := "ID=debian\nVERSION_ID=\"12\"\n"
	want := "libc6 2.36-9+deb12u8 pkg:deb/debian/libc6@2.36-9%2Bdeb12u8?arch=amd64&distro=debian-12&upstream=glibc%402.36-9"
	checkFound(t, tempTree(t, map[string]string{"var/lib/dpkg/status": status, "etc/os-release": release}),
		"broken 3 pkg:deb/debian/broken@3?distro=debian-12", "later 4 pkg:deb/debian/later@4?distro=debian-12", want)
	// An image without dpkg has a file for each package.
	checkFound(t, tempTree(t, map[string]string{
		"etc/os-release": release, "var/lib/dpkg/status.d/base": "Package: base-files\nVersion: 12.4\nArchitecture: arm64\n", "var/lib/dpkg/status.d/base.md5sums": "0  x\n",
	}), "base-files 12.4 pkg:deb/debian/base-files@12.4?arch=arm64&distro=debian-12")
}

// rpmDatabase returns the path of a real database of rpm, which the library is tested with.
func rpmDatabase(t *testing.T, of string) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/anchore/go-rpmdb").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(dir)), "pkg", "testdata", filepath.FromSlash(of))
}

// TestRPM: databases in the three formats, as distributions have made them.
func TestRPM(t *testing.T) {
	t.Parallel()
	for of, test := range map[string]struct {
		packages int
		want     []string
	}{
		"rockylinux-9/rpmdb.sqlite": {142, []string{
			"bash 5.1.8-6.el9_1 GPLv3+ pkg:rpm/rocky/bash@5.1.8-6.el9_1?arch=aarch64&distro=rocky-9&upstream=bash-5.1.8-6.el9_1.src.rpm",
			"findutils 1:4.8.0-6.el9 GPLv3+ pkg:rpm/rocky/findutils@4.8.0-6.el9?arch=aarch64&distro=rocky-9&epoch=1&upstream=findutils-4.8.0-6.el9.src.rpm",
		}},
		"sle15-bci/Packages.db": {35, []string{"bash 4.4-19.6.1 GPL-3.0-or-later pkg:rpm/rocky/bash@4.4-19.6.1?arch=x86_64&distro=rocky-9&upstream=bash-4.4-19.6.1.src.rpm"}},
		"libuuid/Packages":      {1, []string{"libuuid 2.32.1-42.el8_8 BSD pkg:rpm/rocky/libuuid@2.32.1-42.el8_8?arch=x86_64&distro=rocky-9&upstream=util-linux-2.32.1-42.el8_8.src.rpm"}},
	} {
		data, err := os.ReadFile(rpmDatabase(t, of))
		if err != nil {
			t.Fatal(err)
		}
		dir := tempTree(t, map[string]string{"etc/os-release": "ID=rocky\nVERSION_ID=9\n", "var/lib/rpm/" + filepath.Base(of): string(data)})
		got := found(t, dir)
		if len(got) != test.packages {
			t.Errorf("%s has %d packages, want %d", of, len(got), test.packages)
		}
		for _, want := range test.want {
			if !slices.Contains(got, want) {
				t.Errorf("%s has no %s: %q", of, want, got)
			}
		}
	}
}

// TestGo: the modules of a Go program, which is that of this test.
func TestGo(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	got := found(t, tempTree(t, map[string]string{"*app": string(data), "data": string(data), "*script": "#!/bin/sh\n", "*elf": elf}))
	want := []string{"github.com/anchore/go-rpmdb v0.2.2 pkg:golang/github.com/anchore/go-rpmdb@v0.2.2", "stdlib " + version + " pkg:golang/stdlib@" + version}
	if len(got) == 3 && strings.HasPrefix(got[1], "github.com/pipelinefile/pipe/cmd/pipe-sbom ") {
		got = slices.Delete(got, 1, 2) // its version depends on how the test is compiled
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q and the main module", got, want)
	}
}

func TestNPM(t *testing.T) {
	t.Parallel()
	checkFound(t, tempTree(t, map[string]string{
		"app/package.json":                            `{"name":"app","version":"1.0.0"}`, // what is not installed by npm is not a package
		"app/node_modules/left-pad/package.json":      `{"name":"left-pad","version":"1.3.0","license":"WTFPL"}`,
		"app/node_modules/@types/node/package.json":   `{"name":"@types/node","version":"20.1.0","license":{"type":"MIT"}}`,
		"app/node_modules/bad/package.json":           `{"name":`,
		"app/node_modules/left-pad/lib/package.json":  `{"name":"inner","version":"1"}`,
		"app/node_modules/noversion/package.json":     `{"name":"noversion"}`,
		"app/node_modules/a/node_modules/b/README.md": ``,
	}),
		"@types/node 20.1.0 MIT pkg:npm/%40types/node@20.1.0",
		"left-pad 1.3.0 WTFPL pkg:npm/left-pad@1.3.0")
}

func TestPython(t *testing.T) {
	t.Parallel()
	const in = "usr/lib/python3/site-packages/"
	checkFound(t, tempTree(t, map[string]string{
		in + "Flask_Login-0.6.3.dist-info/METADATA": "Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6.3\nLicense: MIT\n\nName: other\nVersion: 9\n",
		in + "six-1.16.0.egg-info":                  "Name: six\nVersion: 1.16.0\nLicense-Expression: MIT OR ISC\nLicense: old\n",
		in + "old.egg-info/PKG-INFO":                "Name: old\nVersion: 2\nLicense: UNKNOWN LICENSE\n",
		in + "empty.dist-info/METADATA":             "",
		in + "text.dist-info/METADATA":              "Name: text\nVersion: 3\nLicense: " + strings.Repeat("All rights. ", 1000) + "\n",
	}),
		"Flask_Login 0.6.3 MIT pkg:pypi/flask-login@0.6.3",
		"old 2 pkg:pypi/old@2",
		"six 1.16.0 MIT OR ISC pkg:pypi/six@1.16.0",
		"text 3 pkg:pypi/text@3")
}

// archive returns an archive of Java with these files.
func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range files {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestJava(t *testing.T) {
	t.Parallel()
	properties := func(artifact string) map[string]string {
		return map[string]string{"META-INF/maven/org.example/" + artifact + "/pom.properties": "#Generated\ngroupId=org.example\nartifactId=" + artifact + "\nversion=1.2\n"}
	}
	nested := archive(t, properties("inner"))
	for range maxNesting { // the last one is deeper than is looked
		nested = archive(t, map[string]string{"lib/inner.jar": nested})
	}
	outer := properties("outer")
	outer["BOOT-INF/lib/inner.jar"] = archive(t, properties("direct"))
	outer["BOOT-INF/lib/deep.jar"] = nested
	outer["BOOT-INF/lib/spring-core-6.1.2.jar"] = archive(t, map[string]string{"META-INF/MANIFEST.MF": ""})
	outer["BOOT-INF/lib/noted-9.jar"] = archive(t, properties("noted"))
	checkFound(t, tempTree(t, map[string]string{"app/app.jar": archive(t, outer), "app/bad.jar": "no archive"}),
		"org.example:direct 1.2 pkg:maven/org.example/direct@1.2",
		"org.example:noted 1.2 pkg:maven/org.example/noted@1.2",
		"org.example:outer 1.2 pkg:maven/org.example/outer@1.2",
		"spring-core 6.1.2")
}

func TestIsExpression(t *testing.T) {
	t.Parallel()
	for license, want := range map[string]bool{
		"MIT": true, "GPL-2.0-or-later WITH Classpath-exception-2.0": true, "(MIT OR ISC) AND Zlib": true,
		"": false, "MIT ISC": false, "MIT and ISC": false, "(MIT": false, "MIT)": false, "LicenseRef-x": false, "AND": false, "MIT OR": false, "a/b": false,
	} {
		if got := isExpression(license); got != want {
			t.Errorf("isExpression(%q) = %v, want %v", license, got, want)
		}
	}
}
