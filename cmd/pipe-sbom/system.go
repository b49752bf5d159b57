package main

import (
	"cmp"
	"path"
	"strings"
)

// isAPK reports whether a file is the database of apk, the package manager of Alpine. In newer images /lib is a link.
func isAPK(name string) bool {
	return name == "lib/apk/db/installed" || name == "usr/lib/apk/db/installed"
}

func readAPK(t *tree, name string) error {
	f, _, err := t.database(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return stanzas(f, []string{"P", "V", "L", "A", "o"}, func(of map[string]string) error {
		source := of["o"]
		if source == of["P"] {
			source = ""
		}
		return t.add(component{of["P"], of["V"], known(of["L"]), purl("apk", cmp.Or(t.distro.id, "alpine"), of["P"], of["V"],
			map[string]string{"arch": of["A"], "distro": t.distro.qualifier(), "upstream": source}), name})
	})
}

// isDpkg reports whether a file is the database of dpkg, or a part of it in an image that has no dpkg.
func isDpkg(dir, base string) bool {
	return dir == "var/lib/dpkg/" && base == "status" || dir == "var/lib/dpkg/status.d/" && path.Ext(base) != ".md5sums"
}

func readDpkg(t *tree, name string) error {
	f, _, err := t.database(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return stanzas(f, []string{"Package", "Version", "Architecture", "Source", "Status"}, func(of map[string]string) error {
		// The files of a package whose configuration has failed, or waits for that of another one, are there.
		if status := strings.Fields(of["Status"]); len(status) > 0 && of["Package"] != "" {
			if is := status[len(status)-1]; is == "not-installed" || is == "config-files" || is == "half-installed" && of["Version"] == "" {
				return nil
			}
		}
		// "glibc (2.36-9)" if the source has another version.
		source, version, _ := strings.Cut(of["Source"], " ")
		if version = strings.Trim(version, "() "); version != "" {
			source += "@" + version
		}
		return t.add(component{of["Package"], of["Version"], "", purl("deb", cmp.Or(t.distro.id, "debian"), of["Package"], of["Version"],
			map[string]string{"arch": of["Architecture"], "distro": t.distro.qualifier(), "upstream": source}), name})
	})
}
