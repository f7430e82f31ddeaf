/*
 * source/chunk_data.cpp
 *
 * Owns: the bytes of a running COPY, for a caller that sits below C's stdio.
 *
 * Surprising: nothing here may raise an error or allocate from the server, since a longjmp through
 * stdio leaves its lock held.  So the wait is poll() and not a latch.  A signal interrupts it, or
 * is noticed within the tenth of a second that it lasts.
 */
#include "source/chunk_reader.hpp"

#include "base/compat.hpp"
#include "source/liveness.hpp"

#include <poll.h>

namespace source
{
namespace
{

constexpr int kWaitStep = 100;

/* So many steps may another process wait for us to handle an interrupt that ends nothing. */
constexpr int kMostIdleSteps = 50;

bool
must_stop(int idle_steps)
{
	return ProcDiePending || QueryCancelPending ||
		   (InterruptPending && idle_steps > kMostIdleSteps) || !PostmasterIsAlive();
}

/* False when there is something more urgent than the data. */
bool
wait_for_data(Connection *connection)
{
	PGconn *raw = connection->raw;
	struct pollfd waited = {};
	int ready = 0;

	waited.fd = PQsocket(raw);
	waited.events = POLLIN;
	pgstat_report_wait_start(base::wait_event());
	note_sign_of_life(connection);
	for (int steps = 0; ready <= 0 && !must_stop(steps) && !connection->is_silent; steps++)
	{
		ready = poll(&waited, 1, kWaitStep);
		connection->is_silent = ready <= 0 && is_lost_in_silence(connection);
	}
	pgstat_report_wait_end();
	if (ready > 0)
		(void) PQconsumeInput(raw); /* a failure shows in the status */
	return ready > 0;
}

/* Behind the last data: 0 if the COPY ended well, else -1 with its result kept for the error. */
int
read_end(Connection *connection)
{
	for (;;)
	{
		while (PQisBusy(connection->raw))
		{
			if (!wait_for_data(connection))
				return -1;
		}

		PGresult *result = PQgetResult(connection->raw);

		if (result == nullptr)
			return connection->pending == nullptr ? 0 : -1;
		if (PQresultStatus(result) == PGRES_COMMAND_OK || connection->pending != nullptr)
			PQclear(result);
		else
			connection->pending = result;
	}
}

} // namespace

int
next_piece(Connection *connection, const char **data)
{
	release_copy_data(connection);
	if (must_stop(0))
		return -1;
	for (;;)
	{
		int size = PQgetCopyData(connection->raw, &connection->copy_data, 1);

		if (size > 0)
		{
			*data = connection->copy_data;
			return size;
		}
		if (size == -1)
			return read_end(connection);
		if (size < 0 || PQstatus(connection->raw) == CONNECTION_BAD || !wait_for_data(connection))
			return -1;
	}
}

[[noreturn]] void
raise_chunk_error(Connection *connection)
{
	if (!PostmasterIsAlive())
		proc_exit(1);
	CHECK_FOR_INTERRUPTS();
	if (connection->is_silent)
		raise_silence();
	if (connection->pending != nullptr || PQstatus(connection->raw) == CONNECTION_BAD)
		raise_remote_error(connection, connection->pending, "copy from the source");
	ereport(ERROR,
			(errcode(ERRCODE_OPERATOR_INTERVENTION), errmsg("the copy of a chunk was interrupted"),
			 errdetail("It will be started again.")));
}

} // namespace source
