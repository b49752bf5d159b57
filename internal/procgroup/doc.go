// Package procgroup runs a command in a process group of its own, which ends with this process, even
// if that is killed. Its leader is a shell that reads a pipe whose other end only this process has:
// the system closes it, however this process ends, and the shell kills the group. A signal at the
// death of the parent (PR_SET_PDEATHSIG) would reach neither the processes that the command has
// started nor, if the thread that has started the command lives on or ends early, the right moment.
//
// Processes that leave the group, with setsid(2) as daemons do, go on. On Windows, nothing ends if this process
// is killed.
package procgroup
