/*
 * source/connection.hpp
 *
 * One libpq connection to the source, driven without ever blocking inside libpq.
 *
 * Owns: the PGconn (closed by close_connection, or by before_shmem_exit when the process ends, or
 * when the memory context it was opened in is reset), and every PGresult (freed when the memory
 * context that was current at the call is reset).
 *
 * In: an address as the user wrote it.  Out: results, or an ereport that keeps the remote
 * SQLSTATE, message, detail and hint in their own fields.
 *
 * Must not know: what the statements mean; any table of ours.
 *
 * Surprising: the connection string is never part of a message.  libpq quotes pieces of a
 * malformed string in its own errors, so those are replaced, not passed on.
 */
#pragma once

#include "base/pg.hpp"

#include <libpq-fe.h>

namespace source
{

enum class Purpose
{
	control, /* catalog queries, gate, refetch */
	copy,	 /* reads chunks */
	stream,	 /* replication protocol */
};

struct Connection
{
	PGconn *raw;
	Purpose purpose;
	int server_version; /* 130014 */

	/* Only for this room. */
	WaitEventSet *wait_events; /* of wait_readable(), made at its first call */
	struct Tunnel *tunnel;	   /* nullptr: none */

	/* What libpq handed out last and still has to be given back to it. */
	char *copy_data;   /* the last piece of COPY data */
	PGresult *pending; /* a result not yet returned, or the error that ended a COPY */
	bool is_started;   /* start_query() was called and poll_query() has not returned its result */
	char *prepared;	   /* the text of its one prepared statement; nullptr: none yet */

	int connect_timeout_s; /* how long an answer to a new connection may take */
	TimestampTz heard_at;  /* see liveness.hpp */
	bool is_silent;		   /* it was lost in silence */
};

/*
 * What a waiting call does while it waits, besides latch, interrupts and the socket: the connector
 * worker keeps the stream's feedback going.  Called at least once a second.
 */
using WhileWaiting = void (*)(void *argument);
void set_while_waiting(WhileWaiting function, void *argument);

/* Through which SSH server, if any: see ssh_address.hpp. */
struct SshAccess
{
	const char *address; /* nullptr: none */
	const char
		*known_hosts; /* the host key as seen first, a line of known_hosts; nullptr: not yet */
	const char *private_key;
};

/* Where a source is, and which role of this server wants to go there: see credentials.hpp. */
struct Address
{
	const char *source; /* a connection string, or the name of a foreign server */
	Oid user;
	SshAccess ssh = {};
};

/* Raise ERROR (without the string's content) unless it can be connected to, as far as this server knows. */
void check_address(const Address &address);

/* The string without password and other secrets, for views: palloc'ed. */
char *describe_connection_string(const char *conninfo);

/*
 * Connect with the session settings that every source session of ours has (row_security = off,
 * timeouts 0, DateStyle ISO, synchronous_commit = local, client_encoding = the local database's,
 * search_path = '' for control and copy, default_transaction_isolation and read_only pinned…).
 * fallback_name is used as fallback_application_name.  Refuses a connection pooler.
 */
Connection *open_connection(const Address &address, const char *fallback_name, Purpose purpose);
void close_connection(Connection *connection);

/* The last piece of COPY data, or message of the stream, is not needed any more, and the next one not yet. */
void release_copy_data(Connection *connection);

/* The host key of the SSH server in between, for SshAccess; nullptr: there is no such server. */
char *accepted_host_key(const Connection *connection);

/* Run one statement; ERROR unless it ends with the expected kind of result. */
PGresult *query(Connection *connection, const char *sql); /* rows, text format */
void execute(Connection *connection, const char *sql);	  /* a command */

/* Makes the statement the connection's prepared one, for EXECUTE, if it is not that already. */
constexpr char kPreparedName[] = "livesync_prepared";
void prepare(Connection *connection, const char *types, const char *sql);

/*
 * The statement, made to wait no longer for each lock of the source: then it fails with 55P03.  0 is without end; LockTimeout
 * is as long as this process waits for locks here.  Without parameters, outside of a transaction.
 */
char *limit_lock_wait(const char *sql, int milliseconds);

/* Run one statement; the result is returned whatever it is (never NULL). */
PGresult *try_query(Connection *connection, const char *sql);

/*
 * An asynchronous statement: start, then poll until done (returns NULL while it is not).  Other
 * statements may be run in between: they wait for it, and its result is kept for poll_query().
 */
void start_query(Connection *connection, const char *sql);
PGresult *poll_query(Connection *connection);

/*
 * Wait until the socket is readable (true; also when the connection is broken, so that reading
 * tells why) or the latch was set / timeout passed (false).
 */
bool wait_readable(Connection *connection, long timeout_ms);

/* Raise the error of a result or of the connection.  `doing`: "could not <doing>". */
[[noreturn]] void raise_remote_error(Connection *connection, PGresult *result, const char *doing);

/* The same, told apart for the callers that go on: SQLSTATE as five characters, or "". */
const char *result_sqlstate(PGresult *result);

/* Quoting for statements sent to the source: palloc'ed. */
char *quote_name(const char *name);	   /* "na""me" always quoted */
char *quote_string(const char *value); /* 'va''lue', E'' when a backslash is in it */
char *quote_table(const char *schema, const char *name);

} // namespace source
