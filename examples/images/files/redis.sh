#!/bin/sh
# The entrypoint of the redis image: like the official one it takes arguments or a configuration file for redis-server,
# keeps its data in /data, and can be reached from other machines.
set -eu

case ${1:-} in
-* | *.conf) set -- redis-server "$@" ;;
esac
if [ "${1:-}" != redis-server ]; then
	exec "$@"
fi
if [ "$(id -u)" = 0 ]; then
	find /data ! -user redis -exec chown redis:redis {} +
	exec gosu redis "$0" "$@"
fi
# Debian's redis-server refuses other machines unless it has a password or is told that this is meant. A configuration
# file has to come first, and arguments after ours can overrule it.
shift
case ${1:-} in
*.conf)
	file=$1
	shift
	set -- "$file" --protected-mode no "$@"
	;;
*) set -- --protected-mode no "$@" ;;
esac
exec redis-server "$@"
