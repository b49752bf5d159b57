package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestCheckRPM: the databases of distributions pass, and damaged ones do not crash the program: the library reads
// them in a goroutine of its own.
func TestCheckRPM(t *testing.T) {
	t.Parallel()
	all, err := filepath.Glob(filepath.Join(filepath.Dir(rpmDatabase(t, "x")), "*", "Packages*"))
	if err != nil || len(all) < 10 {
		t.Fatalf("%d databases, %v", len(all), err)
	}
	for _, file := range all {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkRPM(bytes.NewReader(data), int64(len(data))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if err := checkRPM(bytes.NewReader(data), int64(len(data))/2); err == nil {
			t.Errorf("half of %s: no error", file)
		}
	}
	random, failed := rand.New(rand.NewPCG(1, 2)), 0
	for _, of := range []string{"sle15-bci/Packages.db", "libuuid/Packages"} {
		data, err := os.ReadFile(rpmDatabase(t, of))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 12 {
			damaged := bytes.Clone(data)
			for range 1 << i {
				damaged[16+random.IntN(len(damaged)-16)] = byte(random.Uint32())
			}
			for range i % 3 { // and where the positions are
				damaged[16+random.IntN(2000)] = byte(random.Uint32())
			}
			if _, err := scan(t, tempTree(t, map[string]string{"var/lib/rpm/" + filepath.Base(of): string(damaged)}), ""); err != nil {
				failed++
			}
		}
	}
	if failed == 0 {
		t.Error("no damaged database is an error")
	}
}

// TestCheckBerkeley: what the library would not survive is an error: each of these has a page with one value.
func TestCheckBerkeley(t *testing.T) {
	t.Parallel()
	database := func(change func(meta, values, list []byte)) []byte {
		data := make([]byte, 3*512)
		meta, values, list := data[:512], data[512:1024], data[1024:]
		le := binary.LittleEndian
		le.PutUint32(meta[12:], 0x61561)
		le.PutUint32(meta[20:], 512)
		le.PutUint32(meta[32:], 2)
		meta[25], values[25], list[25] = 8, 13, 7
		le.PutUint16(values[20:], 2)
		le.PutUint16(values[28:], 100)
		values[100] = 3
		le.PutUint32(values[104:], 2)
		if change != nil {
			change(meta, values, list)
		}
		return data
	}
	good := database(nil)
	if err := checkRPM(bytes.NewReader(good), int64(len(good))); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(meta, values, list []byte){
		"more pages than there are": func(m, _, _ []byte) { m[32] = 3 },
		"too many values":           func(_, v, _ []byte) { v[20], v[21] = 0xfe, 0xff },
		"a value outside":           func(_, v, _ []byte) { v[29] = 2 },
		"a reference at the end":    func(_, v, _ []byte) { v[28], v[29], v[511] = 0xff, 1, 3 },
		"a list of itself":          func(_, _, l []byte) { l[16] = 2 },
		"a list of other pages":     func(_, v, _ []byte) { v[104] = 1 },
		"too much on a page":        func(_, _, l []byte) { l[23] = 2 },
	} {
		data := database(change)
		if err := checkRPM(bytes.NewReader(data), int64(len(data))); !errors.Is(err, errRPM) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
