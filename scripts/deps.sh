#!/usr/bin/env bash
# Installs the programs that image builds and real local nodes run, where they
# are missing. Only what is missing: nothing that is there is replaced, since a
# machine may have its own containerd or Docker. Arguments are further entries.
set -euo pipefail

[ "$(uname -s)" = Linux ] || exit 0
PATH=$PATH:/usr/sbin:/sbin

# program:package
needed="runc:runc git:git busybox:busybox-static nft:nftables ip:iproute2 mount:mount newuidmap:uidmap rootlesskit:rootlesskit $*"
missing=()
for entry in $needed; do
	command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install -y --no-install-recommends --no-remove ${missing[*]}"
if ! command -v apt-get >/dev/null; then
	echo "pipe needs these programs, please install them: ${missing[*]}" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "pipe needs these packages: ${missing[*]}" >&2
	echo "Install them with: sudo $install" >&2
	exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$install -qq >/dev/null
