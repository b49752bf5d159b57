#!/bin/sh
# The entrypoint of the postgres image. It takes the environment of the official image: POSTGRES_PASSWORD, POSTGRES_USER,
# POSTGRES_DB, POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD, PGDATA, and the _FILE form of the first three.
set -eu

# from_file VAR: VAR is read from the file that VAR_FILE names.
from_file() {
	eval "value=\${$1:-} file=\${$1_FILE:-}"
	if [ -n "$file" ]; then
		if [ -n "$value" ]; then
			echo "both $1 and $1_FILE are set: set one of them" >&2
			exit 1
		fi
		eval "$1=\$(cat \"\$file\")"
		unset "$1_FILE"
	fi
}

# initialise makes the cluster, its user and its database. The server that it starts for that listens on a socket only:
# nobody can take a database that is half made for a ready one. The data is made beside its place and moved there as the
# last step, so that being killed at any moment leaves either nothing or a whole database.
initialise() {
	from_file POSTGRES_PASSWORD
	from_file POSTGRES_USER
	from_file POSTGRES_DB
	user=${POSTGRES_USER:-postgres}
	db=${POSTGRES_DB:-$user}
	method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
	if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
		echo "the database in $PGDATA is empty and POSTGRES_PASSWORD is not set: a new database needs a password" >&2
		exit 1
	fi
	new=$PGDATA/.new
	echo "making a database in $PGDATA"
	# The password goes through a file of our own, never through an argument, which all processes may read.
	secret=$(mktemp)
	printf '%s\n' "${POSTGRES_PASSWORD:-}" >"$secret"
	if [ -n "${POSTGRES_PASSWORD:-}" ]; then
		set -- --pwfile="$secret"
	else
		set --
	fi
	# shellcheck disable=SC2086 # POSTGRES_INITDB_ARGS is a list of words
	initdb --pgdata="$new" --username="$user" --auth-local=trust --auth-host="$method" --no-sync --no-instructions \
		"$@" ${POSTGRES_INITDB_ARGS:-} >/dev/null
	rm -f "$secret"
	printf '\nhost all all all %s\n' "$method" >>"$new/pg_hba.conf"
	if [ "$db" != postgres ]; then
		pg_ctl --pgdata="$new" --silent --wait --options="-c listen_addresses='' -c fsync=off" start >/dev/null
		createdb --no-password --username="$user" --maintenance-db=postgres "$db"
		pg_ctl --pgdata="$new" --silent --wait --mode=fast stop
	fi
	sync
	rm -f "$new/postmaster.pid"
	# PG_VERSION says that the database is there: it is moved last.
	for file in "$new"/*; do
		[ "${file##*/}" = PG_VERSION ] || mv "$file" "$PGDATA/"
	done
	mv "$new/PG_VERSION" "$PGDATA/"
	rmdir "$new"
}

case ${1:-} in
-*) set -- postgres "$@" ;;
esac
if [ "${1:-}" != postgres ]; then
	exec "$@"
fi

if [ "$(id -u)" = 0 ]; then
	# A volume may come as a folder of root. Only what is not ours yet is touched: a full one is large.
	mkdir -p "$PGDATA" /var/run/postgresql
	chmod 700 "$PGDATA"
	chmod 3777 /var/run/postgresql
	find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres:postgres {} +
	exec gosu postgres "$0" "$@"
fi

mkdir -p "$PGDATA"
chmod 700 "$PGDATA" 2>/dev/null || true
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	# Left over from a start that was killed while it moved files: there is no database without PG_VERSION.
	if [ -d "$PGDATA/.new" ]; then
		find "$PGDATA" -mindepth 1 -maxdepth 1 -exec rm -rf {} +
	fi
	initialise
fi
unset POSTGRES_PASSWORD
exec "$@" -c listen_addresses='*'
