/*
 * source/liveness.cpp
 *
 * See liveness.hpp.
 */
#include "source/liveness.hpp"

#include "base/compat.hpp"
#include "base/settings.hpp"
#include "source/connection_string.hpp"

#include <poll.h>

namespace source
{
namespace
{

constexpr int kMostParameters = 100; /* more than libpq knows */
constexpr int kStepMs = 100;

struct Beside
{
	PGconn *raw;
	TimestampTz deadline;
};

bool
must_give_up(const Beside &beside)
{
	return ProcDiePending || QueryCancelPending || !PostmasterIsAlive() ||
		   GetCurrentTimestamp() >= beside.deadline;
}

/* False: no time left, or something more urgent. */
bool
wait_for(const Beside &beside, short events)
{
	struct pollfd waited = {};
	int ready = 0;

	waited.fd = PQsocket(beside.raw);
	waited.events = events;
	while (ready <= 0 && !must_give_up(beside))
		ready = poll(&waited, 1, kStepMs);
	return ready > 0;
}

/* As the first was opened, but as a session for SQL. */
PGconn *
start_connecting(const PQconninfoOption *options, const char *address)
{
	const char *keywords[kMostParameters + 2] = {};
	const char *values[kMostParameters + 2] = {};
	int count = 0;

	for (; options->keyword != nullptr && count < kMostParameters; options++)
	{
		if (options->val == nullptr || options->val[0] == '\0' ||
			strcmp(options->keyword, "replication") == 0 ||
			strcmp(options->keyword, "hostaddr") == 0)
			continue;
		keywords[count] = options->keyword;
		values[count++] = options->val;
	}
	/* a name would be looked up first, which waits for servers that may be as far away */
	if (address != nullptr && address[0] != '\0')
	{
		keywords[count] = "hostaddr";
		values[count] = address;
	}
	return PQconnectStartParams(keywords, values, 0);
}

/* PGRES_POLLING_OK, _FAILED, or the last one of those before when it gave up. */
PostgresPollingStatusType
finish_connecting(const Beside &beside)
{
	PostgresPollingStatusType status =
		PQstatus(beside.raw) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;

	while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED &&
		   wait_for(beside, status == PGRES_POLLING_READING ? POLLIN : POLLOUT))
		status = PQconnectPoll(beside.raw);
	return status;
}

/* False when it gave up. */
bool
run(const Beside &beside, const char *sql, Answer *answer)
{
	*answer = Answer::unknown;
	if (!PQsendQuery(beside.raw, sql))
		return true;
	for (;;)
	{
		while (PQisBusy(beside.raw))
			if (!wait_for(beside, POLLIN) || !PQconsumeInput(beside.raw))
				return PQstatus(beside.raw) == CONNECTION_BAD;

		PGresult *result = PQgetResult(beside.raw);

		if (result == nullptr)
			return true;
		if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
			*answer = PQgetvalue(result, 0, 0)[0] == 't' ? Answer::yes : Answer::no;
		PQclear(result);
	}
}

Answer
connect_and_run(const Beside &beside, const char *sql)
{
	Answer answer = Answer::unknown;
	PostgresPollingStatusType status = finish_connecting(beside);
	bool has_ended =
		status == PGRES_POLLING_FAILED || (status == PGRES_POLLING_OK && run(beside, sql, &answer));

	if (has_ended)
		return answer;
	return GetCurrentTimestamp() >= beside.deadline ? Answer::none : Answer::unknown;
}

} // namespace

Answer
ask_beside(const Connection *connection, const char *sql)
{
	PQconninfoOption *options = PQconninfo(connection->raw);
	Beside beside{};
	Answer answer = Answer::unknown;

	if (options == nullptr)
		return answer;
	if (AcquireExternalFD())
	{
		beside.deadline = TimestampTzPlusMilliseconds(
			GetCurrentTimestamp(), static_cast<int64>(connection->connect_timeout_s) * 1000);
		beside.raw = start_connecting(options, PQhostaddr(connection->raw));
		if (beside.raw != nullptr)
			answer = connect_and_run(beside, sql);
		PQfinish(beside.raw);
		ReleaseExternalFD();
	}
	PQconninfoFree(options);
	return answer;
}

void
note_sign_of_life(Connection *connection)
{
	connection->heard_at = GetCurrentTimestamp();
}

bool
is_lost_in_silence(Connection *connection)
{
	char sql[200];
	int timeout = base::settings::source_timeout_ms;

	if (timeout == 0 || connection->raw == nullptr ||
		!TimestampDifferenceExceeds(connection->heard_at, GetCurrentTimestamp(), timeout))
		return false;
	snprintf(sql, sizeof(sql),
			 "SELECT count(*) > 0 FROM pg_catalog.pg_stat_activity WHERE pid = %d",
			 PQbackendPID(connection->raw));

	Answer answer = ask_beside(connection, sql);

	if (answer == Answer::no || answer == Answer::none)
		return true;
	note_sign_of_life(connection);
	return false;
}

void
check_silence(Connection *connection)
{
	if (is_lost_in_silence(connection))
		raise_silence();
}

[[noreturn]] void
raise_silence()
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE), errmsg("the source does not answer any more"),
			 errdetail("Nothing came from it for %d ms, and a second connection did not find the "
					   "session there.",
					   base::settings::source_timeout_ms),
			 errhint("It is tried again until the source answers. Look at the network between the "
					 "servers; livesync.source_timeout says how long a silence may last.")));
}

bool
is_half_silent(TimestampTz since)
{
	int timeout = base::settings::source_timeout_ms;

	return timeout > 0 && TimestampDifferenceExceeds(since, GetCurrentTimestamp(), timeout / 2);
}

} // namespace source
