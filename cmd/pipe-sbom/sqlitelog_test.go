package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"testing"
)

// logOf is a write-ahead log with pages of a database; the last one completes a transaction.
func logOf(database []byte, size int, numbers ...uint32) []byte {
	be := binary.BigEndian
	log := make([]byte, logHeader)
	be.PutUint32(log, 0x377f0682)
	be.PutUint32(log[4:], 3007000)
	be.PutUint32(log[8:], uint32(size))
	copy(log[16:], "saltsalt")
	var a, b uint32
	add := func(data []byte) {
		for i := 0; i < len(data); i += 8 {
			a += binary.LittleEndian.Uint32(data[i:]) + b
			b += binary.LittleEndian.Uint32(data[i+4:]) + a
		}
	}
	add(log[:24])
	be.PutUint32(log[24:], a)
	be.PutUint32(log[28:], b)
	for i, number := range numbers {
		header := make([]byte, frameHeader)
		be.PutUint32(header, number)
		if i == len(numbers)-1 {
			be.PutUint32(header[4:], uint32(len(database)/size))
		}
		copy(header[8:], "saltsalt")
		page := database[int(number-1)*size : int(number)*size]
		add(header[:8])
		add(page)
		be.PutUint32(header[16:], a)
		be.PutUint32(header[20:], b)
		log = append(append(log, header...), page...)
	}
	return log
}

// TestSQLiteLog: pages in the write-ahead log count instead of those in the file, if their transaction is complete.
func TestSQLiteLog(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(rpmDatabase(t, "rockylinux-9/rpmdb.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	size := int(binary.BigEndian.Uint16(data[16:]))
	all, err := sqliteColumn(bytes.NewReader(data), nil, "Packages", 1)
	if err != nil {
		t.Fatal(err)
	}
	const numbers = 12 // the first pages are only in the log
	var moved []uint32
	without := bytes.Clone(data)
	for number := range uint32(numbers) {
		moved = append(moved, number+1)
		clear(without[max(100, int(number)*size) : int(number+1)*size])
	}
	log := logOf(data, size, moved...)
	more := append(slices.Clone(log), logOf(without, size, moved...)[logHeader:]...) // with another checksum
	for what, log := range map[string][]byte{"a log": log, "a log and more": more} {
		got, err := sqliteColumn(bytes.NewReader(without), bytes.NewReader(log), "Packages", 1)
		if err != nil || !slices.EqualFunc(got, all, bytes.Equal) {
			t.Errorf("with %s: %d values, %v, want %d", what, len(got), err, len(all))
		}
	}
	incomplete := log[:len(log)-1]
	damaged := bytes.Clone(log)
	damaged[len(damaged)-1] ^= 1
	for what, log := range map[string][]byte{"an incomplete log": incomplete, "a damaged log": damaged, "an empty log": {}, "no log": bytes.Repeat([]byte("x"), 9000)} {
		got, err := sqliteColumn(bytes.NewReader(data), bytes.NewReader(log), "Packages", 1)
		if err != nil || !slices.EqualFunc(got, all, bytes.Equal) {
			t.Errorf("with %s: %d values, %v, want those of the file", what, len(got), err)
		}
	}
}

// TestSQLiteLogHostile: a log that is a link out of the image is not read.
func TestSQLiteLogHostile(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(rpmDatabase(t, "rockylinux-9/rpmdb.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	dir := tempTree(t, map[string]string{"var/lib/rpm/rpmdb.sqlite": string(data), "var/lib/rpm/rpmdb.sqlite-wal": "-> /dev/zero"})
	if got := found(t, dir); len(got) != 142 {
		t.Errorf("%d packages, want 142", len(got))
	}
}
