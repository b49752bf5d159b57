package main

import (
	"debug/buildinfo"
	"io"
	"path"
	"runtime/debug"
	"strings"
)

// elf begins every program on Linux.
const elf = "\x7fELF"

// readGo reads the modules that a program is compiled from, as the Go command has noted them in it.
func readGo(t *tree, name string) error {
	f, _, err := t.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	magic := make([]byte, len(elf))
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != elf {
		return nil
	}
	program, err := buildinfo.Read(f)
	if err != nil {
		return nil // it is not of Go
	}
	version, _, _ := strings.Cut(program.GoVersion, " ") // without the experiments
	if err := t.addIf(goModule("stdlib", strings.TrimPrefix(version, "go"), name)); err != nil {
		return err
	}
	for _, m := range append([]*debug.Module{&program.Main}, program.Deps...) {
		of := m
		if m.Replace != nil {
			of = m.Replace
		}
		if of.Version == "" || of.Version == "(devel)" { // a directory of the source, whose version is not known
			of = &debug.Module{Path: m.Path, Version: "(devel)"}
		}
		if err := t.addIf(goModule(of.Path, of.Version, name)); err != nil {
			return err
		}
	}
	return nil
}

func goModule(module, version, found string) component {
	c := component{name: module, version: version, found: found}
	if version != "(devel)" {
		c.purl = purl("golang", strings.TrimSuffix(path.Dir(module), "."), path.Base(module), version, nil)
	}
	return c
}
