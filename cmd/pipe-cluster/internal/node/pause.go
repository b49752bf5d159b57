package node

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A pod's namespaces live as long as its first process, which only has to end on request and, if the
// pod shares its process namespace, to reap zombies. This takes some twenty instructions, so they are
// written here: no image of this program has to be found, built or shipped.
//
//	block SIGINT, SIGTERM, SIGCHLD
//	for {
//		switch s := sigtimedwait(SIGINT, SIGTERM, SIGCHLD); {
//		case s == SIGCHLD:
//			for wait4(-1, WNOHANG) > 0 {
//			}
//		case s >= 0:
//			exit(0)
//		}
//	}
//
// The signals are blocked and waited for because the kernel otherwise drops signals that the first
// process of a namespace does not handle.

var pauseAMD64 = []byte{
	0xb8, 0x0e, 0x00, 0x00, 0x00, //             mov  eax, 14           rt_sigprocmask
	0x31, 0xff, //                               xor  edi, edi          SIG_BLOCK
	0x48, 0x8d, 0x35, 0x4f, 0x00, 0x00, 0x00, // lea  rsi, [rip+set]
	0x31, 0xd2, //                               xor  edx, edx
	0x41, 0xba, 0x08, 0x00, 0x00, 0x00, //       mov  r10d, 8
	0x0f, 0x05, //                               syscall
	0xb8, 0x80, 0x00, 0x00, 0x00, //       next: mov  eax, 128          rt_sigtimedwait
	0x48, 0x8d, 0x3d, 0x39, 0x00, 0x00, 0x00, // lea  rdi, [rip+set]
	0x31, 0xf6, //                               xor  esi, esi
	0x31, 0xd2, //                               xor  edx, edx
	0x41, 0xba, 0x08, 0x00, 0x00, 0x00, //       mov  r10d, 8
	0x0f, 0x05, //                               syscall
	0x83, 0xf8, 0x11, //                         cmp  eax, SIGCHLD
	0x75, 0x1b, //                               jne  other
	0xb8, 0x3d, 0x00, 0x00, 0x00, //       reap: mov  eax, 61           wait4
	0x48, 0x83, 0xcf, 0xff, //                   or   rdi, -1
	0x31, 0xf6, //                               xor  esi, esi
	0xba, 0x01, 0x00, 0x00, 0x00, //             mov  edx, WNOHANG
	0x45, 0x31, 0xd2, //                         xor  r10d, r10d
	0x0f, 0x05, //                               syscall
	0x85, 0xc0, //                               test eax, eax
	0x7f, 0xe7, //                               jg   reap
	0xeb, 0xc8, //                               jmp  next
	0x85, 0xc0, //                        other: test eax, eax
	0x78, 0xc4, //                               js   next
	0xb8, 0xe7, 0x00, 0x00, 0x00, //             mov  eax, 231          exit_group
	0x31, 0xff, //                               xor  edi, edi
	0x0f, 0x05, //                               syscall
	0x02, 0x40, 0x01, 0, 0, 0, 0, 0, //     set: SIGINT, SIGTERM, SIGCHLD
}

var pauseARM64 = words(
	0xd28010e8, //       mov  x8, 135           rt_sigprocmask
	0xaa1f03e0, //       mov  x0, 0             SIG_BLOCK
	0x10000341, //       adr  x1, set
	0xaa1f03e2, //       mov  x2, 0
	0xb27d03e3, //       mov  x3, 8
	0xd4000001, //       svc  0
	0xd2801128, // next: mov  x8, 137           rt_sigtimedwait
	0x100002a0, //       adr  x0, set
	0xaa1f03e1, //       mov  x1, 0
	0xaa1f03e2, //       mov  x2, 0
	0xb27d03e3, //       mov  x3, 8
	0xd4000001, //       svc  0
	0x7100441f, //       cmp  w0, SIGCHLD
	0x54000141, //       bne  other
	0xd2802088, // reap: mov  x8, 260           wait4
	0x92800000, //       mov  x0, -1
	0xaa1f03e1, //       mov  x1, 0
	0xb24003e2, //       mov  x2, WNOHANG
	0xaa1f03e3, //       mov  x3, 0
	0xd4000001, //       svc  0
	0x7100001f, //       cmp  w0, 0
	0x54ffff2c, //       bgt  reap
	0x17fffff0, //       b    next
	0x7100001f, // other: cmp w0, 0
	0x54fffdcb, //       blt  next
	0xd2800bc8, //       mov  x8, 94            exit_group
	0xaa1f03e0, //       mov  x0, 0
	0xd4000001, //       svc  0
	0x00014002, // set:  SIGINT, SIGTERM, SIGCHLD
	0x00000000,
)

func words(w ...uint32) []byte {
	b := make([]byte, 0, 4*len(w))
	for _, x := range w {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	return b
}

// pauseProgram returns the program as a file: an ELF header, one segment, the code.
func pauseProgram(arch string) ([]byte, error) {
	var machine uint16
	var code []byte
	switch arch {
	case "amd64":
		machine, code = 62, pauseAMD64
	case "arm64":
		machine, code = 183, pauseARM64
	default:
		return nil, fmt.Errorf("pods of %s are not supported: amd64 and arm64 are", arch)
	}
	const base, headers = 0x400000, 64 + 56
	size := uint64(headers + len(code))
	var b bytes.Buffer
	for _, v := range []any{
		[16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, // 64 bit, little endian
		uint16(2), machine, uint32(1),          // an executable
		uint64(base + headers), // the entry point
		uint64(64), uint64(0), uint32(0), uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(5), // a segment, readable and executable: the whole file
		uint64(0), uint64(base), uint64(base), size, size, uint64(0x10000),
		code,
	} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
