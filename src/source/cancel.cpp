/*
 * source/cancel.cpp
 *
 * See cancel.hpp.
 *
 * Surprising: it is not libpq that cancels.  Before version 17 it can do so only by a call that blocks
 * until the source has taken the request, which a network that swallows packets makes last for ever.
 * A session beside this one asks for it.
 */
#include "source/cancel.hpp"

#include "source/liveness.hpp"
#include "source/remote_error.hpp"
#include "source/waiting.hpp"

namespace source
{
namespace
{

constexpr int kLongestStop = 10000;

void
request_cancel(const Connection *connection)
{
	char sql[100];

	snprintf(sql, sizeof(sql), "SELECT pg_catalog.pg_cancel_backend(%d)",
			 PQbackendPID(connection->raw));
	(void) ask_beside(connection, sql);
}

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

	request_cancel(connection);
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
