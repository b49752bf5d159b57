// Package procgroup runs a command in a process group of its own, which ends with this process, even
// if that is killed. Its leader is a shell that reads a pipe whose other end only this process has:
// the system closes it, however this process ends, and the shell kills the group. A signal at the
// death of the parent (PR_SET_PDEATHSIG) is not enough: it is sent only to the command, not to the
// processes that the command has started, and when the thread that has started the command ends,
// which may be before the end of this process.
//
// Processes that leave the group, with setsid(2) as daemons do, continue. On Windows, the command
// continues if this process is killed.
package procgroup
