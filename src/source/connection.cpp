/*
 * source/connection.cpp
 *
 * Owns: opening and closing; the list of what this process has open.
 *
 *   resolve address ─► for each host: PQconnectStartParams ─► PQconnectPoll … ─► session settings
 *
 * Surprising: the control and copy connections get their settings by a statement, not by startup
 * options as the stream does.  A pooler refuses startup options with an error that says nothing to
 * most people; this way it lets us in and is then recognised, because the process id it gave us is
 * not the one of the session behind it.
 */
#include "source/connection.hpp"

#include "base/compat.hpp"
#include "source/address.hpp"
#include "source/connection_failure.hpp"
#include "source/credentials.hpp"
#include "source/ssh_tunnel.hpp"
#include "source/waiting.hpp"

namespace source
{
namespace
{

constexpr int kDefaultConnectTimeout = 10;
constexpr int kLongestAnswer = 60;

/* A Connection with what its owners need to find it. */
struct Owned
{
	Connection connection; /* first, so that one pointer is the other */
	MemoryContextCallback callback;
	Owned *next;
};

Owned *open_connections = nullptr;
bool exit_is_registered = false;

void
close_raw(Connection *connection)
{
	release_copy_data(connection);
	PQclear(connection->pending);
	connection->pending = nullptr;
	if (connection->wait_events != nullptr)
		FreeWaitEventSet(connection->wait_events);
	connection->wait_events = nullptr;
	if (connection->raw != nullptr)
	{
		PQfinish(connection->raw);
		connection->raw = nullptr;
		ReleaseExternalFD();
	}
	close_tunnel(&connection->tunnel);
}

void
close_and_forget(void *argument)
{
	Owned *owned = static_cast<Owned *>(argument);

	close_raw(&owned->connection);
	for (Owned **link = &open_connections; *link != nullptr; link = &(*link)->next)
	{
		if (*link == owned)
		{
			*link = owned->next;
			break;
		}
	}
}

void
close_all_at_exit(int, Datum)
{
	for (Owned *owned = open_connections; owned != nullptr; owned = owned->next)
		close_raw(&owned->connection);
	open_connections = nullptr;
}

Connection *
make_owned(Purpose purpose)
{
	if (!exit_is_registered)
	{
		before_shmem_exit(close_all_at_exit, 0);
		exit_is_registered = true;
	}

	Owned *owned = static_cast<Owned *>(palloc0(sizeof(Owned)));

	owned->connection.purpose = purpose;
	owned->next = open_connections;
	open_connections = owned;
	owned->callback.func = close_and_forget;
	owned->callback.arg = owned;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &owned->callback);
	return &owned->connection;
}

/* libpq would write them to the server's log as plain stderr. */
void
ignore_notice(void *, const PGresult *)
{
}

int
connect_timeout_of(const Parameters &parameters)
{
	const char *text = get_parameter(parameters, "connect_timeout");
	int seconds = text == nullptr ? kDefaultConnectTimeout : atoi(text);

	/* 0 and less mean "for ever" to libpq, and a second is too short for it as well. */
	return seconds <= 0 ? INT_MAX / 1000 : Max(seconds, 2);
}

/* False at the timeout. */
bool
poll_until_connected(PGconn *raw, int timeout_s)
{
	TimestampTz deadline =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), static_cast<int64>(timeout_s) * 1000);
	PostgresPollingStatusType status =
		PQstatus(raw) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;

	while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED)
	{
		int events = status == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE;
		long left = remaining_ms(deadline);

		if (left == 0)
			return false;
		if (wait_step(PQsocket(raw), events, left) != 0)
			status = PQconnectPoll(raw);
	}
	return true;
}

bool
try_host(Connection *connection, Parameters parameters, const SshAccess &ssh,
		 ConnectFailure *failure)
{
	int timeout_s = connect_timeout_of(parameters);

	if (ssh.address != nullptr)
		open_tunnel(&connection->tunnel, ssh, &parameters, timeout_s);
	if (!AcquireExternalFD())
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("could not connect to the source"),
						errdetail("There are too many open files on this server."),
						errhint("Raise max_files_per_process and the operating system's limit.")));
	connection->raw = PQconnectStartParams(parameters.keywords, parameters.values, 0);
	if (connection->raw == nullptr)
	{
		ReleaseExternalFD();
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}

	bool in_time = poll_until_connected(connection->raw, timeout_s);

	connection->connect_timeout_s = Min(timeout_s, kLongestAnswer);
	if (in_time && PQstatus(connection->raw) == CONNECTION_OK)
		return true;
	note_failure(failure, connection->raw, in_time ? 0 : timeout_s);
	if (connection->tunnel != nullptr)
		note_tunnel(failure, tunnel_messages(connection->tunnel));
	close_raw(connection);
	return false;
}

char *
session_statement(const Connection *connection)
{
	StringInfoData sql;
	static const char *const kSettings[][2] = {
		{"search_path", ""},
		{"row_security", "off"},
		{"DateStyle", "ISO"},
		{"IntervalStyle", "postgres"},
		{"extra_float_digits", "3"},
		{"lc_monetary", "C"}, /* of both sides, so that a money value means the same */
		{"standard_conforming_strings", "on"},
		{"jit", "off"}, /* costs more than it saves on statements about the catalogs */
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"synchronous_commit", "local"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"transaction_timeout", "0"},
		{"idle_session_timeout", "0"},
	};

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT pg_catalog.pg_backend_pid()");
	for (const char *const(&setting)[2] : kSettings)
	{
		if ((connection->server_version < 170000 &&
			 strcmp(setting[0], "transaction_timeout") == 0) ||
			(connection->server_version < 140000 &&
			 strcmp(setting[0], "idle_session_timeout") == 0))
			continue;
		appendStringInfo(&sql, ", pg_catalog.set_config('%s', '%s', false)", setting[0],
						 setting[1]);
	}
	return sql.data;
}

/* See the top: settings, and the proof that no pooler is in between. */
void
set_up_session(Connection *connection)
{
	PGresult *result = query(connection, session_statement(connection));

	if (atoi(PQgetvalue(result, 0, 0)) != PQbackendPID(connection->raw))
		raise_pooler();
}

} // namespace

Connection *
open_connection(const Address &address, const char *fallback_name, Purpose purpose)
{
	ResolvedAddress resolved = resolve_address(address);
	Parameters parameters = resolved.parameters;

	complete_parameters(&parameters, purpose, fallback_name);

	Connection *connection = make_owned(purpose);
	ConnectFailure failure = {};
	int hosts = count_hosts(parameters);

	for (int host = 0; host < hosts && connection->raw == nullptr; host++)
		(void) try_host(connection, select_host(parameters, host), address.ssh, &failure);
	end_waiting();
	if (connection->raw == nullptr)
		raise_connect_failure(failure);
	if (resolved.needs_password)
		require_password_used(connection->raw);

	PQsetNoticeReceiver(connection->raw, ignore_notice, nullptr);
	PQsetnonblocking(connection->raw, 1);
	connection->server_version = PQserverVersion(connection->raw);
	if (purpose != Purpose::stream)
		set_up_session(connection);
	return connection;
}

void
release_copy_data(Connection *connection)
{
	PQfreemem(connection->copy_data);
	connection->copy_data = nullptr;
}

void
close_connection(Connection *connection)
{
	if (connection != nullptr)
		close_and_forget(connection);
}

} // namespace source
