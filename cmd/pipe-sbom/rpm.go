package main

import (
	"fmt"
	"path/filepath"
	"strconv"

	rpmdb "github.com/anchore/go-rpmdb/pkg"
)

// isRPM reports whether a file is a database of rpm, in one of its three formats.
func isRPM(dir, base string) bool {
	switch dir {
	case "var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/":
		return base == "rpmdb.sqlite" || base == "Packages.db" || base == "Packages"
	}
	return false
}

func readRPM(t *tree, name string) (err error) {
	f, info, err := t.database(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info.Size() == 0 {
		return nil // rpm creates it before the first package
	}
	if err := checkRPM(f, info.Size()); err != nil {
		return err
	}
	defer func() {
		if v := recover(); v != nil { // the library trusts what a package says of itself
			err = fmt.Errorf("%w: %v", errRPM, v)
		}
	}()
	// The library opens a path. No part of it is a link, as the walk has come here.
	db, err := rpmdb.Open(filepath.Join(t.dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only read
	all, err := db.ListPackages()
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Name == "gpg-pubkey" { // a key that packages are signed with
			continue
		}
		version, epoch := p.Version+"-"+p.Release, ""
		if p.Epoch != nil && *p.Epoch != 0 {
			epoch = strconv.Itoa(*p.Epoch)
		}
		c := component{p.Name, version, known(p.License), purl("rpm", t.distro.id, p.Name, version,
			map[string]string{"arch": p.Arch, "distro": t.distro.qualifier(), "epoch": epoch, "upstream": p.SourceRpm}), name}
		if epoch != "" {
			c.version = epoch + ":" + version
		}
		if err := t.add(c); err != nil {
			return fmt.Errorf("%w: %q", err, p.Name[:min(len(p.Name), 100)])
		}
	}
	return nil
}
