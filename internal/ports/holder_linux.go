package ports

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func holder(addr netip.AddrPort) (Process, bool) {
	inode := ""
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			// sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == listening && listensAt(f[1], addr) {
				inode = f[9]
			}
		}
	}
	if inode == "" {
		return Process{}, false
	}
	sockets, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return Process{}, false
	}
	for _, fd := range sockets {
		if to, err := os.Readlink(fd); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		process := filepath.Dir(filepath.Dir(fd))
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(process)); err == nil {
			return Process{Name: strings.TrimSpace(string(name)), PID: pid}, true
		}
	}
	return Process{}, false
}

const listening = "0A" // the state of a listening socket

// listensAt reports whether a local address in the kernel's table is at, or is the
// unspecified address with its port. The addresses are hexadecimal, with the bytes of each
// 32-bit word in little-endian order.
func listensAt(local string, at netip.AddrPort) bool {
	host, port, _ := strings.Cut(local, ":")
	if port != fmt.Sprintf("%04X", at.Port()) {
		return false
	}
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw)%4 != 0 {
		return false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	ip, ok := netip.AddrFromSlice(raw)
	return ok && (ip.Unmap() == at.Addr() || ip.IsUnspecified())
}
