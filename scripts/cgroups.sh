#!/usr/bin/env bash
# Checks the limits of builds with cgroups of version 2 on a Linux of its own: this machine may have version 1, and
# only another kernel can lack a controller. It is User Mode Linux, an ordinary program, with the files of this machine,
# read-only. Needs root of Debian or Ubuntu on amd64.
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/deps.sh linux.uml:user-mode-linux chrt:util-linux unshare:util-linux

work=$(mktemp -d /tmp/pipe-cgroups-XXXXXX)
trap 'rm -rf "$work"' EXIT
go test -c -o "$work/" ./runtime/build ./runtime/build/daemon

# The first process of the kernel.
cat >"$work/init" <<'END'
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for dir in /tmp /run /root; do mount -t tmpfs tmpfs $dir; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t hostfs -o "$work" hostfs /mnt
exec >/mnt/log 2>&1 </dev/null
busybox insmod /usr/lib/uml/modules/*/kernel/fs/overlayfs/overlay.ko
busybox ifconfig lo up 127.0.0.1
cd /tmp
sh /mnt/case
echo o >/proc/sysrq-trigger
sleep 60
END
chmod +x "$work/init"

# check boots with the arguments, runs the commands of standard input, and looks for lines in what they print.
check() { # NAME LINES KERNEL-ARGUMENT...
	local name=$1 lines=$2 line
	shift 2
	{
		echo 'cgroups=/sys/fs/cgroup'
		echo 'limit() { PIPE_TEST_REQUIRE=buildkit /mnt/build.test -test.v -test.timeout 10m -test.run "$1"; }'
		echo 'here() { /mnt/daemon.test -test.v -test.run TestLimitsHere; }'
		cat
	} >"$work/case"
	: >"$work/log"
	timeout 20m linux.uml mem=3G root=/dev/root rootfstype=hostfs rootflags=/ ro con=null con0=null,fd:1 con1=null \
		work="$work" init="$work/init" "$@" </dev/null >"$work/kernel" 2>&1 || { tail -20 "$work/kernel" "$work/log"; echo "$name: the kernel failed" >&2; exit 1; }
	while read -r line; do
		grep -qF -- "$line" "$work/log" || { cat "$work/log"; echo "$name: there is no line with: $line" >&2; exit 1; }
	done <<<"$lines"
	echo "ok: $name"
}

check "all commands of a build are limited together" "--- PASS: TestLimitsHere
--- PASS: TestBuildLimits (
--- PASS: TestBuildLimitsTogether/one_build
--- PASS: TestBuildLimitsTogether/two_builds
oom_memcg=/pipe-build-" <<'END'
here
limit TestBuildLimits
dmesg | grep oom_memcg
END

check "the same with pipe in a session" "--- PASS: TestLimitsHere
--- PASS: TestBuildLimitsTogether/one_build" <<'END'
echo "+memory +pids" >$cgroups/cgroup.subtree_control
mkdir -p $cgroups/user.slice/session-1.scope
echo $$ >$cgroups/user.slice/session-1.scope/cgroup.procs
here
limit TestBuildLimitsTogether
END

check "memory is limited together while a realtime process prevents limits of the CPU" "--- PASS: TestLimitsHere
--- PASS: TestBuildLimitsTogether/one_build" <<'END'
mkdir $cgroups/system.slice
chrt -f 10 sleep 1200 &
echo $! >$cgroups/system.slice/cgroup.procs
here
limit TestBuildLimitsTogether
END

check "a container with processes in its topmost cgroup builds" "device or resource busy
--- PASS: TestBuildLimitsTogether/two_builds" <<'END'
echo "+cpu +memory" >$cgroups/cgroup.subtree_control
mkdir $cgroups/container
echo $$ >$cgroups/container/cgroup.procs
unshare --cgroup --mount sh <<'INSIDE'
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
/mnt/daemon.test -test.v -test.run TestLimitsHere
PIPE_TEST_REQUIRE=buildkit /mnt/build.test -test.v -test.timeout 10m -test.run TestBuildLimitsTogether/two
INSIDE
END

check "a system without the controller of memory builds" "--- PASS: TestLimitsHere
--- PASS: TestBuildLimitsTogether/two_builds" cgroup_disable=memory <<'END'
here
limit TestBuildLimitsTogether/two
END
