package main

import (
	"encoding/binary"
	"errors"
	"io"
)

// errRPM is the error of a database of rpm in one of its older formats.
var errRPM = errors.New("it is not a valid database of rpm")

// checkRPM returns an error if a database in one of the older formats of rpm has an offset that is outside of it, or a
// list of pages without an end. The library checks neither: it would panic in a goroutine of its own, where nothing can
// recover, or read for ever.
func checkRPM(in io.ReaderAt, size int64) error {
	start := make([]byte, 16)
	if _, err := in.ReadAt(start, 0); err != nil {
		return errRPM
	}
	switch {
	case string(start) == sqliteMagic:
		return nil // see sqlite.go
	case string(start[:4]) == "RpmP":
		return checkNDB(in, size)
	}
	return checkBerkeley(in, size)
}

// checkNDB checks the format of SUSE: a header and slots of 16 bytes, which say where the packages are.
func checkNDB(in io.ReaderAt, size int64) error {
	const slot, perPage, most = 16, 256, 2048
	header := make([]byte, 32)
	if _, err := in.ReadAt(header, 0); err != nil {
		return errRPM
	}
	pages := int64(binary.LittleEndian.Uint32(header[12:]))
	if pages == 0 || pages > most || pages*perPage*slot > size {
		return errRPM
	}
	slots := make([]byte, pages*perPage*slot-int64(len(header)))
	if _, err := in.ReadAt(slots, int64(len(header))); err != nil {
		return errRPM
	}
	total := int64(0)
	for ; len(slots) > 0; slots = slots[slot:] {
		if string(slots[:4]) != "Slot" {
			return errRPM
		}
		if binary.LittleEndian.Uint32(slots[4:]) == 0 {
			continue // empty
		}
		at, blob := int64(binary.LittleEndian.Uint32(slots[8:]))*slot, make([]byte, slot)
		if _, err := in.ReadAt(blob, at); err != nil {
			return errRPM
		}
		length := int64(binary.LittleEndian.Uint32(blob[12:]))
		// Packages do not overlap, so that all of them together are not larger than the file.
		if total += length; at+slot+length > size || total > size {
			return errRPM
		}
	}
	return nil
}

// checkBerkeley checks a hash table of Berkeley DB. A page of it begins with the positions of its keys and values. A value
// is in the page itself, or in a list of other pages.
func checkBerkeley(in io.ReaderAt, size int64) error {
	const (
		header, reference = 26, 12 // bytes of a page, and of what refers to a list
		list, overflow    = 3, 7   // types of a value, and of a page
		unsorted, sorted  = 2, 13  // types of pages with values
		most              = 1 << 16
	)
	meta := make([]byte, 512)
	if _, err := in.ReadAt(meta, 0); err != nil {
		return errRPM
	}
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint32(meta[12:]) != 0x61561 {
		order = binary.BigEndian
	}
	length, last := int64(order.Uint32(meta[20:])), int64(order.Uint32(meta[32:]))
	if order.Uint32(meta[12:]) != 0x61561 || length < 512 || length > most || (last+1)*length > size {
		return errRPM
	}
	page, next := make([]byte, length), make([]byte, header)
	listed := int64(0) // pages of all lists
	for number := range last + 1 {
		if _, err := in.ReadAt(page, number*length); err != nil {
			return errRPM
		}
		if kind := page[25]; kind != unsorted && kind != sorted {
			continue
		}
		entries := int(order.Uint16(page[20:]))
		if end := header + 2*entries; entries%2 != 0 || end > len(page) || end >= most {
			return errRPM
		}
		for i := 1; i < entries; i += 2 { // the values
			at := int(order.Uint16(page[header+2*i:]))
			if at >= len(page) {
				return errRPM
			}
			if page[at] != list {
				continue
			}
			if at+reference > len(page) || at+reference >= most {
				return errRPM
			}
			for of := int64(order.Uint32(page[at+4:])); of != 0; of = int64(order.Uint32(next[16:])) {
				if listed++; of > last || listed > last {
					return errRPM
				}
				if _, err := in.ReadAt(next, of*length); err != nil || next[25] != overflow {
					return errRPM
				}
				if end := header + int64(order.Uint16(next[22:])); order.Uint32(next[16:]) == 0 && (end > length || end >= most) {
					return errRPM
				}
			}
		}
	}
	return nil
}
