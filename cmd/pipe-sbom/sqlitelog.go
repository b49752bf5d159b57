package main

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// A sqliteLog is the write-ahead log of a database: pages that are newer than those in its file, by their numbers. A
// program that was killed leaves them there.
type sqliteLog struct {
	in io.ReaderAt
	at map[uint32]int64 // where a page begins
}

// Sizes in bytes.
const (
	logHeader   = 32
	frameHeader = 24
)

// openLog opens the log of a database; nil: it has none. It does not follow a link, and does not wait for a FIFO.
func openLog(database string) (*os.File, error) {
	f, err := os.OpenFile(database+"-wal", os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() && info.Size() <= maxDatabase {
		return f, nil
	}
	f.Close()
	return nil, err
}

// readLog reads a log up to its last transaction that is complete, for a database with pages of a size. What follows is
// of a transaction that was not completed, or of an earlier log in the same file, as other checksums show.
func readLog(in io.ReaderAt, size int) *sqliteLog {
	header := make([]byte, logHeader)
	if _, err := in.ReadAt(header, 0); err != nil {
		return nil // it is empty
	}
	var order binary.ByteOrder
	switch binary.BigEndian.Uint32(header) {
	case 0x377f0682:
		order = binary.LittleEndian
	case 0x377f0683:
		order = binary.BigEndian
	default:
		return nil
	}
	sum := checksum{order: order}
	if sum.add(header[:24]); !sum.is(header[24:]) || int(binary.BigEndian.Uint32(header[8:])) != size {
		return nil
	}
	log := &sqliteLog{in, map[uint32]int64{}}
	open := map[uint32]int64{} // of a transaction whose end was not read yet
	frame := make([]byte, frameHeader+size)
	for at := int64(logHeader); ; at += int64(len(frame)) {
		if _, err := in.ReadAt(frame, at); err != nil || string(frame[8:16]) != string(header[16:24]) {
			return log
		}
		sum.add(frame[:8])
		if sum.add(frame[frameHeader:]); !sum.is(frame[16:]) {
			return log
		}
		open[binary.BigEndian.Uint32(frame)] = at + frameHeader
		if binary.BigEndian.Uint32(frame[4:]) == 0 {
			continue
		}
		for number, of := range open {
			log.at[number] = of
		}
		clear(open)
	}
}

// A checksum is that of all bytes of a log so far.
type checksum struct {
	order binary.ByteOrder
	a, b  uint32
}

// add adds bytes, whose number is a multiple of 8.
func (c *checksum) add(data []byte) {
	for ; len(data) >= 8; data = data[8:] {
		c.a += c.order.Uint32(data) + c.b
		c.b += c.order.Uint32(data[4:]) + c.a
	}
}

// is reports whether the checksum is the one that data begins with.
func (c *checksum) is(data []byte) bool {
	return binary.BigEndian.Uint32(data) == c.a && binary.BigEndian.Uint32(data[4:]) == c.b
}
