/*
 * source/query.cpp
 *
 * Owns: sending statements and collecting their results, without ever blocking in libpq.
 *
 * In: SQL.  Out: a PGresult that is freed when the memory context of the call is reset.
 *
 * Surprising: an ereport out of a wait (an interrupt, or the function called while waiting) leaves
 * a statement running.  Whoever uses the connection next stops it first.
 */
#include "source/cancel.hpp"
#include "source/connection.hpp"
#include "source/liveness.hpp"
#include "source/remote_error.hpp"
#include "source/waiting.hpp"

namespace source
{
namespace
{

/* Made before there is a result to own, since making it may fail. */
struct ResultOwner
{
	PGresult *result;
	MemoryContextCallback callback;
};

void
clear_result(void *argument)
{
	PQclear(static_cast<ResultOwner *>(argument)->result);
}

ResultOwner *
make_owner()
{
	ResultOwner *owner = static_cast<ResultOwner *>(palloc0(sizeof(ResultOwner)));

	owner->callback.func = clear_result;
	owner->callback.arg = owner;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &owner->callback);
	return owner;
}

bool
is_failure(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

bool
is_copy(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COPY_OUT || status == PGRES_COPY_IN || status == PGRES_COPY_BOTH;
}

/* Keep the last result of several, but the first error for good. */
void
keep_result(PGresult **kept, PGresult *result)
{
	if (*kept != nullptr && is_failure(*kept))
	{
		PQclear(result);
		return;
	}
	PQclear(*kept);
	*kept = result;
}

void
flush_all(Connection *connection)
{
	while (PQflush(connection->raw) == 1)
	{
		int happened = wait_step(PQsocket(connection->raw),
								 WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE, LONG_MAX);

		if ((happened & WL_SOCKET_READABLE) && !PQconsumeInput(connection->raw))
			return;
	}
}

/* Read up to the end of what was sent, or to a COPY; the result is kept in *kept. */
void
collect(Connection *connection, PGresult **kept)
{
	flush_all(connection);
	note_sign_of_life(connection);
	for (;;)
	{
		while (PQisBusy(connection->raw))
		{
			if (wait_step(PQsocket(connection->raw), WL_SOCKET_READABLE, LONG_MAX) == 0)
			{
				check_silence(connection);
				continue;
			}
			note_sign_of_life(connection);
			/* When reading fails, PQgetResult() makes a result that says so. */
			if (!PQconsumeInput(connection->raw))
				break;
		}

		PGresult *result = PQgetResult(connection->raw);

		if (result == nullptr)
			break;
		keep_result(kept, result);
		if (is_copy(result) || PQstatus(connection->raw) == CONNECTION_BAD)
			break;
	}
	end_waiting();
}

PGresult *
result_of(Connection *connection, ResultOwner *owner)
{
	/* Nothing was sent, since the connection is broken: make a result that says so. */
	if (owner->result == nullptr)
		owner->result = PQmakeEmptyPGresult(connection->raw, PGRES_FATAL_ERROR);
	if (owner->result == nullptr)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return owner->result;
}

void
forget_started(Connection *connection)
{
	connection->is_started = false;
	PQclear(connection->pending);
	connection->pending = nullptr;
}

/*
 * A started statement is waited for and keeps its result.  Any other that still runs was left
 * behind by an error.
 */
void
make_ready(Connection *connection)
{
	if (!connection->is_started)
		forget_started(connection);
	if (PQtransactionStatus(connection->raw) != PQTRANS_ACTIVE)
		return;
	if (connection->is_started)
		collect(connection, &connection->pending);
	else
		stop_statement(connection);
}

PGresult *
run(Connection *connection, const char *sql)
{
	ResultOwner *owner = make_owner();

	make_ready(connection);
	(void) PQsendQuery(connection->raw, sql);
	collect(connection, &owner->result);
	return result_of(connection, owner);
}

PGresult *
expect(Connection *connection, PGresult *result, ExecStatusType expected, const char *sql)
{
	ExecStatusType status = PQresultStatus(result);

	/* A command may well return rows that nobody looks at. */
	if (status != expected && !(expected == PGRES_COMMAND_OK && status == PGRES_TUPLES_OK))
		raise_statement_error(connection, result, nullptr, sql);
	return result;
}

} // namespace

PGresult *
query(Connection *connection, const char *sql)
{
	return expect(connection, run(connection, sql), PGRES_TUPLES_OK, sql);
}

void
execute(Connection *connection, const char *sql)
{
	(void) expect(connection, run(connection, sql), PGRES_COMMAND_OK, sql);
}

void
prepare(Connection *connection, const char *types, const char *sql)
{
	if (connection->prepared != nullptr && strcmp(connection->prepared, sql) == 0)
		return;
	if (connection->prepared != nullptr)
		execute(connection, psprintf("DEALLOCATE %s", kPreparedName));
	connection->prepared = nullptr;

	char *copy = MemoryContextStrdup(GetMemoryChunkContext(connection), sql);

	execute(connection, psprintf("PREPARE %s %s AS %s", kPreparedName, types, sql));
	connection->prepared = copy;
}

char *
limit_lock_wait(const char *sql, int milliseconds)
{
	/* statements sent as one are one transaction */
	return psprintf("SET LOCAL lock_timeout = %d; %s", milliseconds, sql);
}

PGresult *
try_query(Connection *connection, const char *sql)
{
	return run(connection, sql);
}

void
start_query(Connection *connection, const char *sql)
{
	forget_started(connection);
	make_ready(connection);
	if (!PQsendQuery(connection->raw, sql))
		raise_statement_error(connection, nullptr, nullptr, sql);
	connection->is_started = true;
	(void) PQflush(connection->raw);
}

/*
 * The result is kept in the connection until the source is ready for the next statement, so that
 * what follows finds it idle.
 */
PGresult *
poll_query(Connection *connection)
{
	(void) PQflush(connection->raw);
	(void) PQconsumeInput(connection->raw);

	bool ended = false;

	while (!ended && !PQisBusy(connection->raw))
	{
		PGresult *result = PQgetResult(connection->raw);

		ended = result == nullptr || is_copy(result) || PQstatus(connection->raw) == CONNECTION_BAD;
		if (result != nullptr)
			keep_result(&connection->pending, result);
	}
	if (!ended)
		return nullptr;

	ResultOwner *owner = make_owner();

	owner->result = connection->pending;
	connection->pending = nullptr;
	connection->is_started = false;
	return result_of(connection, owner);
}

} // namespace source
