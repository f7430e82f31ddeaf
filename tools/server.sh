# tools/server.sh: shell functions to make, start and stop throw-away servers.  Sourced by demo/run,
# demo/stop and test/run, which set -euo pipefail.
#
# Servers refuse to run as root, so root's run as user postgres.  They listen on a Unix socket in their
# own directory only and are stopped through their data directory, never by name.

# Sets pg_config and bindir, the folder of initdb, pg_ctl and psql.
find_server()
{
	pg_config=${PG_CONFIG:-$(command -v pg_config || echo /usr/lib/postgresql/15/bin/pg_config)}
	if ! bindir=$("$pg_config" --bindir 2>/dev/null); then
		echo "no PostgreSQL: $pg_config does not run; tools/setup installs what is missing" >&2
		return 1
	fi
	if [ ! -x "$bindir/initdb" ]; then
		echo "no PostgreSQL server: $bindir has no initdb; tools/setup installs what is missing" >&2
		return 1
	fi
	# Left by a surrounding make, they would reach the makes that we run.
	unset MAKEFLAGS MFLAGS MAKELEVEL
	# Left by the user, they would send psql elsewhere.
	unset PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGSERVICE PGOPTIONS PGDATA
}

# as_postgres COMMAND...: runs it as a user that servers accept, in a folder which that user can read.
as_postgres()
{
	(
		cd /
		if [ "$(id -u)" -eq 0 ]; then
			exec setpriv --reuid=postgres --regid=postgres --init-groups \
				env HOME=/tmp USER=postgres LOGNAME=postgres LC_ALL=C.UTF-8 "$@"
		fi
		exec env LC_ALL=C.UTF-8 "$@"
	)
}

# make_folder DIR: an empty folder, which only the servers' user (and root) may enter.
make_folder()
{
	rm -rf "$1"
	mkdir -p -m 700 "$1"
	if [ "$(id -u)" -eq 0 ]; then
		chown postgres: "$1"
	fi
}

# make_server DIR PORT [CONF LINE]...: initdb into DIR/data; the log will be DIR/log.
make_server()
{
	local dir=$1 port=$2
	shift 2
	make_folder "$dir"
	if ! as_postgres "$bindir/initdb" -D "$dir/data" -U postgres -A trust -N -E UTF8 --locale=C.UTF-8 \
		>"$dir.initdb.log" 2>&1; then
		cat "$dir.initdb.log" >&2
		return 1
	fi
	rm -f "$dir.initdb.log"
	{
		echo "port = $port"
		echo "unix_socket_directories = '$dir'"
		echo "listen_addresses = ''"
		echo "log_line_prefix = '%m [%p] %q%a '"
		printf '%s\n' "$@"
	} | as_postgres tee -a "$dir/data/postgresql.conf" >/dev/null
}

# start_server DIR; stop_server DIR [MODE]
start_server()
{
	if ! as_postgres "$bindir/pg_ctl" -D "$1/data" -l "$1/log" -w -t 60 start >/dev/null; then
		echo "the server in $1/data does not start; the end of its log, $1/log:" >&2
		tail -n 20 "$1/log" >&2
		return 1
	fi
}

stop_server()
{
	if [ -f "$1/data/postmaster.pid" ]; then
		as_postgres "$bindir/pg_ctl" -D "$1/data" -w -t 60 -m "${2:-fast}" stop >/dev/null
	fi
}

# server_psql DIR PORT DATABASE [ARGUMENT]...: psql that stops at an error and prints plain values.
server_psql()
{
	local dir=$1 port=$2 database=$3
	shift 3
	as_postgres "$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -U postgres -d "$database" "$@"
}

# search_log FILE...: the lines that only a crashing server writes, or one of which something was not released at the end of a
# transaction, or written where it must not.  Beside it: check_logs() in test/perl/LiveSync.pm.
search_log()
{
	local careless='leak: |resource was not closed|non-empty SPI stack|problem in |still active|seem to remain|own a lock| while in '
	grep -HE "by signal (6|11)\\b|TRAP: |PANIC: |WARNING:  .*($careless)" "$@" 2>/dev/null || true
}

# install_extension [MAKE ARGUMENT]...: make install, through sudo where the folders are not ours.
install_extension()
{
	local command=(make -s "PG_CONFIG=$pg_config" "$@" install)
	if [ ! -w "$("$pg_config" --pkglibdir)" ] && [ "$(id -u)" -ne 0 ]; then
		echo "installing into $("$pg_config" --pkglibdir) needs root: sudo ${command[*]}"
		command=(sudo "${command[@]}")
	fi
	"${command[@]}"
}
