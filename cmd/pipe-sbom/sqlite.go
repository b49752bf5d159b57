package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The library that reads databases of rpm asks database/sql for the driver "sqlite". It needs one column of one table,
// so this driver reads that from the file format (https://www.sqlite.org/fileformat.html) and knows no SQL: a whole
// SQLite is larger than the rest of the program, and takes a minute to compile. sqlitelog.go reads the write-ahead log.
func init() { sql.Register("sqlite", sqliteDriver{}) }

// rpmQuery is what the library asks.
const rpmQuery = "SELECT blob FROM Packages"

type (
	sqliteDriver struct{}
	sqliteConn   struct{ file string }
	sqliteStmt   struct{ file string }
	sqliteRows   struct{ values [][]byte }
)

// Open takes a name such as file:PATH?mode=ro.
func (sqliteDriver) Open(name string) (driver.Conn, error) {
	name = strings.TrimPrefix(name, "file:")
	if i := strings.LastIndexByte(name, '?'); i >= 0 {
		name = name[:i]
	}
	return sqliteConn{name}, nil
}

func (c sqliteConn) Prepare(query string) (driver.Stmt, error) {
	if query != rpmQuery {
		return nil, fmt.Errorf("this driver of SQLite cannot run %q", query)
	}
	return sqliteStmt(c), nil
}

func (sqliteConn) Close() error { return nil }

func (sqliteConn) Begin() (driver.Tx, error) { return nil, errors.ErrUnsupported }

func (sqliteStmt) Close() error { return nil }

func (sqliteStmt) NumInput() int { return 0 }

func (sqliteStmt) Exec([]driver.Value) (driver.Result, error) { return nil, errors.ErrUnsupported }

func (s sqliteStmt) Query([]driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), nil)
}

// QueryContext reads the whole column, so that a damaged file is an error before the first row: the library does not
// look at later ones.
func (s sqliteStmt) QueryContext(context.Context, []driver.NamedValue) (driver.Rows, error) {
	f, err := os.Open(s.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	log, err := openLog(s.file)
	if err != nil {
		return nil, err
	}
	var newer io.ReaderAt // nil: there are no newer pages
	if log != nil {
		defer log.Close()
		newer = log
	}
	values, err := sqliteColumn(f, newer, "Packages", 1)
	if err != nil {
		return nil, err
	}
	return &sqliteRows{values}, nil
}

func (*sqliteRows) Columns() []string { return []string{"blob"} }

func (*sqliteRows) Close() error { return nil }

func (r *sqliteRows) Next(to []driver.Value) error {
	if len(r.values) == 0 {
		return io.EOF
	}
	to[0], r.values = r.values[0], r.values[1:]
	return nil
}

// Limits of a table.
const (
	maxRecord = 32 << 20  // bytes
	maxTable  = 256 << 20 // bytes of all records
	maxDepth  = 20        // pages from the root of a tree to a leaf
)

// sqliteMagic begins a database.
const sqliteMagic = "SQLite format 3\x00"

var errSQLite = errors.New("it is not a valid SQLite database")

// A sqliteFile reads the trees of tables.
type sqliteFile struct {
	in     io.ReaderAt
	log    *sqliteLog // nil: it has none
	size   int        // of a page
	usable int        // bytes of a page
	seen   map[uint32]bool
	total  int
}

// sqliteColumn returns the values of a column of a table, which must be of blobs. The write-ahead log may be nil.
func sqliteColumn(in, log io.ReaderAt, table string, column int) (values [][]byte, err error) {
	header := make([]byte, 100)
	if _, err := in.ReadAt(header, 0); err != nil || string(header[:16]) != sqliteMagic {
		return nil, errSQLite
	}
	f := &sqliteFile{in: in, size: int(binary.BigEndian.Uint16(header[16:]))}
	if f.size == 1 {
		f.size = 1 << 16
	}
	f.usable = f.size - int(header[20])
	if f.size < 512 || f.usable < 480 {
		return nil, errSQLite
	}
	if log != nil {
		f.log = readLog(log, f.size)
	}
	var root uint32
	err = f.records(1, func(of []sqliteValue) error { // type, name, tbl_name, rootpage, sql
		if len(of) >= 4 && string(of[0].bytes) == "table" && string(of[1].bytes) == table {
			root = uint32(of[3].number)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if root == 0 {
		return nil, fmt.Errorf("it has no table %s", table)
	}
	err = f.records(root, func(of []sqliteValue) error {
		if len(of) <= column || of[column].bytes == nil {
			return errSQLite
		}
		values = append(values, of[column].bytes)
		return nil
	})
	return values, err
}

// records calls each with the values of every record of a table.
func (f *sqliteFile) records(root uint32, each func([]sqliteValue) error) error {
	f.seen = map[uint32]bool{}
	return f.walk(root, maxDepth, each)
}

// page reads a page, which must not be read twice.
func (f *sqliteFile) page(number uint32) ([]byte, error) {
	if number == 0 || f.seen[number] {
		return nil, errSQLite
	}
	f.seen[number] = true
	page := make([]byte, f.size)
	in, at := f.in, int64(number-1)*int64(f.size)
	if f.log != nil && f.log.at[number] != 0 {
		in, at = f.log.in, f.log.at[number]
	}
	if _, err := in.ReadAt(page, at); err != nil {
		return nil, errSQLite
	}
	return page[:f.usable], nil
}

func (f *sqliteFile) walk(number uint32, deeper int, each func([]sqliteValue) error) error {
	page, err := f.page(number)
	if err != nil {
		return err
	}
	start := 0
	if number == 1 {
		start = 100 // after the header of the file
	}
	const interior, leaf = 5, 13
	kind, cells, at := page[start], int(binary.BigEndian.Uint16(page[start+3:])), start+8
	if kind == interior {
		at = start + 12
	}
	if kind != interior && kind != leaf || deeper == 0 || at+2*cells > len(page) {
		return errSQLite
	}
	for i := range cells {
		cell := int(binary.BigEndian.Uint16(page[at+2*i:]))
		if cell+4 > len(page) {
			return errSQLite
		}
		if kind == interior {
			err = f.walk(binary.BigEndian.Uint32(page[cell:]), deeper-1, each)
		} else {
			err = f.record(page, cell, each)
		}
		if err != nil {
			return err
		}
	}
	if kind == leaf {
		return nil
	}
	return f.walk(binary.BigEndian.Uint32(page[start+8:]), deeper-1, each)
}

// record reads the record of a cell.
func (f *sqliteFile) record(page []byte, at int, each func([]sqliteValue) error) error {
	length, n := varint(page[at:])
	_, m := varint(page[min(at+n, len(page)):]) // its key
	at += n + m
	if n == 0 || m == 0 || length > maxRecord {
		return errSQLite
	}
	if f.total += int(length); f.total > maxTable {
		return fmt.Errorf("its records have more than %d MiB", maxTable>>20)
	}
	size := int(length)
	local := size
	if most := f.usable - 35; size > most {
		least := (f.usable-12)*32/255 - 23
		if local = least + (size-least)%(f.usable-4); local > most {
			local = least
		}
	}
	if at+local > len(page) {
		return errSQLite
	}
	record := append(make([]byte, 0, local), page[at:at+local]...)
	if local < size {
		if at+local+4 > len(page) {
			return errSQLite
		}
		next := binary.BigEndian.Uint32(page[at+local:])
		for len(record) < size {
			more, err := f.page(next)
			if err != nil {
				return err
			}
			next = binary.BigEndian.Uint32(more)
			record = append(record, more[4:min(len(more), 4+size-len(record))]...)
		}
	}
	values, err := sqliteValues(record)
	if err != nil {
		return err
	}
	return each(values)
}

// A sqliteValue is a number, or bytes; NULL and floating-point numbers are neither.
type sqliteValue struct {
	number int64
	bytes  []byte
}

// sqliteValues reads the values of a record: their types, and then their content.
func sqliteValues(record []byte) (values []sqliteValue, err error) {
	length, n := varint(record)
	if n == 0 || length < uint64(n) || length > uint64(len(record)) {
		return nil, errSQLite
	}
	types, content := record[n:length], record[length:]
	for len(types) > 0 {
		kind, n := varint(types)
		if n == 0 {
			return nil, errSQLite
		}
		types = types[n:]
		var size uint64
		switch {
		case kind < 8:
			size = uint64([]int{0, 1, 2, 3, 4, 6, 8, 8}[kind])
		case kind >= 12:
			size = (kind - 12) / 2
		case kind >= 10:
			return nil, errSQLite
		}
		if size > uint64(len(content)) {
			return nil, errSQLite
		}
		var v sqliteValue
		switch of := content[:size:size]; {
		case kind >= 12:
			v.bytes = of
		case kind == 9:
			v.number = 1
		case 1 <= kind && kind <= 6:
			for _, b := range of {
				v.number = v.number<<8 | int64(b)
			}
		}
		values, content = append(values, v), content[size:]
	}
	return values, nil
}

// varint reads an integer of SQLite and returns it with its length; 0 if it is incomplete.
func varint(b []byte) (v uint64, n int) {
	for i, c := range b[:min(9, len(b))] {
		if i == 8 {
			return v<<8 | uint64(c), 9
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
