/*
 * source/cancel.cpp
 *
 * See cancel.hpp.
 *
 * Surprising: before version 17 libpq can send a cancel request only by a call that blocks until
 * the source has taken it.  The request goes to a server that we were just talking to, so the wait
 * is a round trip; with a newer libpq it is asynchronous.
 */
#include "source/cancel.hpp"

#include "source/remote_error.hpp"
#include "source/waiting.hpp"

#include <poll.h>

namespace source
{
namespace
{

constexpr int kLongestStop = 10000;

#ifdef LIBPQ_HAS_ASYNC_CANCEL

void
request_cancel(Connection *connection, TimestampTz deadline)
{
	PGcancelConn *request = PQcancelCreate(connection->raw);
	PostgresPollingStatusType status =
		request != nullptr && PQcancelStart(request) ? PGRES_POLLING_WRITING : PGRES_POLLING_FAILED;

	/* Nothing may raise an error here, or the request would leak: so no latch, and short waits. */
	while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED &&
		   remaining_ms(deadline) > 0)
	{
		struct pollfd waited = {};

		waited.fd = PQcancelSocket(request);
		waited.events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
		if (poll(&waited, 1, 100) > 0)
			status = PQcancelPoll(request);
	}
	PQcancelFinish(request);
}

#else

void
request_cancel(Connection *connection, TimestampTz)
{
	char message[256];
	PGcancel *request = PQgetCancel(connection->raw);

	if (request != nullptr)
		(void) PQcancel(request, message, sizeof(message));
	PQfreeCancel(request);
}

#endif

/* True when COPY data was there and is gone; false when more must arrive, or the COPY has ended. */
bool
discard_copy_data(Connection *connection, bool *ended)
{
	char *data = nullptr;
	int size = PQgetCopyData(connection->raw, &data, 1);

	if (data != nullptr)
		PQfreemem(data);
	*ended = size < 0;
	return size > 0;
}

/* True when everything up to the end of the statement has been read. */
bool
discard_available(Connection *connection, bool *in_copy)
{
	for (;;)
	{
		if (*in_copy)
		{
			bool ended;

			if (discard_copy_data(connection, &ended))
				continue;
			if (!ended)
				return false;
			*in_copy = false;
		}
		if (PQisBusy(connection->raw))
			return false;

		PGresult *result = PQgetResult(connection->raw);

		if (result == nullptr)
			return true;
		*in_copy = PQresultStatus(result) == PGRES_COPY_OUT;
		PQclear(result);
	}
}

} // namespace

void
end_transaction(Connection *connection)
{
	/* Of a broken connection the source ends it. */
	if (PQstatus(connection->raw) == CONNECTION_OK &&
		PQtransactionStatus(connection->raw) != PQTRANS_IDLE)
		execute(connection, "ROLLBACK");
}

void
stop_statement(Connection *connection)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kLongestStop);
	bool in_copy = true; /* PQgetCopyData() answers at once when it is not so */

	request_cancel(connection, deadline);
	while (!discard_available(connection, &in_copy))
	{
		long left = remaining_ms(deadline);

		if (left == 0)
			ereport(ERROR,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("the source did not stop a statement that is not needed any more"),
					 errdetail("It was asked to %d s ago.", kLongestStop / 1000)));
		if (wait_step(PQsocket(connection->raw), WL_SOCKET_READABLE, left) != 0 &&
			!PQconsumeInput(connection->raw))
			raise_statement_error(connection, nullptr, nullptr, nullptr);
	}
	end_waiting();
	if (PQstatus(connection->raw) == CONNECTION_BAD)
		raise_statement_error(connection, nullptr, nullptr, nullptr);
	end_transaction(connection);
}

} // namespace source
