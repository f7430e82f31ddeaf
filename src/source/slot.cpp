/*
 * source/slot.cpp
 *
 * Owns: the connector's slot: reading, creating, dropping.  Publications are in publication.cpp.
 *
 * Surprising: a logical slot comes into being only when every transaction that was running at some
 * moment has ended, so creating one can take hours behind a forgotten session.  The wait is
 * described while it lasts, from the lock that the creating walsender waits for.
 */
#include "source/slot.hpp"

#include "base/settings.hpp"
#include "source/result.hpp"
#include "source/sessions.hpp"
#include "source/waiting.hpp"

namespace source
{
namespace
{

constexpr int kLongestDrop = 10000;
constexpr long kDropPoll = 100;
constexpr int kDescribeInterval = 1000;
constexpr int kFailoverVersion = 170000;

/* In order of place in line: what the walsender of that pid waits for. */
constexpr char kBlockersSql[] = R"(
SELECT string_agg(%s, ', ')
FROM pg_locks w
JOIN pg_locks h ON h.locktype = 'transactionid' AND h.granted AND h.transactionid = w.transactionid
LEFT JOIN pg_stat_activity a ON a.pid = h.pid
LEFT JOIN pg_prepared_xacts x ON h.pid IS NULL AND x.transaction = h.transactionid
WHERE w.pid = %d AND NOT w.granted AND w.locktype = 'transactionid')";

char *
describe_blockers(Connection *stream, Connection *control)
{
	PGresult *result =
		query(control, psprintf(kBlockersSql, kDescribeSession, PQbackendPID(stream->raw)));

	/* Those it waited for have ended: it goes on when it reads that in the WAL. */
	return is_null(result, 0, 0) ? pstrdup("the source's next record of running transactions, "
										   "due within 15 s")
								 : get_text(result, 0, 0);
}

/* Wait for the statement that runs on `stream`, and tell about it each second. */
PGresult *
wait_for_slot(Connection *stream, Connection *control, void (*on_wait)(void *, const char *),
			  void *argument)
{
	MemoryContext outside = CurrentMemoryContext;
	MemoryContext inside =
		AllocSetContextCreate(outside, "livesync slot creation", ALLOCSET_SMALL_SIZES);
	TimestampTz last = GetCurrentTimestamp();
	PGresult *result;

	while ((result = poll_query(stream)) == nullptr)
	{
		TimestampTz now = GetCurrentTimestamp();

		(void) wait_step(PQsocket(stream->raw), WL_SOCKET_READABLE, kDescribeInterval);
		if (on_wait == nullptr || !TimestampDifferenceExceeds(last, now, kDescribeInterval))
			continue;
		last = now;
		MemoryContextSwitchTo(inside);
		on_wait(argument, describe_blockers(stream, control));
		MemoryContextSwitchTo(outside);
		MemoryContextReset(inside);
	}
	MemoryContextDelete(inside);
	end_waiting();
	return result;
}

bool
is_gone(PGresult *result)
{
	return strcmp(result_sqlstate(result), "42704") == 0;
}

bool
is_in_use(PGresult *result)
{
	return strcmp(result_sqlstate(result), "55006") == 0;
}

/* A walsender of it that still runs is one whose other end is gone, or is about to be. */
void
end_user_of_slot(Connection *control, const char *slot_name)
{
	(void) try_query(control, psprintf("SELECT pg_terminate_backend(active_pid) "
									   "FROM pg_replication_slots "
									   "WHERE slot_name = %s AND active_pid IS NOT NULL",
									   quote_string(slot_name)));
}

/* Feedback goes out once a second, with the time of this server's clock. */
constexpr char kEndSilentSql[] = R"(
SELECT count(pg_terminate_backend(r.pid))
FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
WHERE s.slot_name = %s AND r.reply_time < to_timestamp(%.3f) - interval '%d ms')";

void
end_silent_user(Connection *control, const char *slot_name)
{
	double now = static_cast<double>(GetCurrentTimestamp()) / USECS_PER_SEC +
				 static_cast<double>(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
	(void) query(control, psprintf(kEndSilentSql, quote_string(slot_name), now,
								   base::settings::source_timeout_ms));
}

} // namespace

void
free_slot(Connection *control, const char *slot_name)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kLongestDrop);

	if (!read_slot(control, slot_name).active)
		return;
	if (base::settings::source_timeout_ms > 0)
		end_silent_user(control, slot_name);
	while (read_slot(control, slot_name).active && remaining_ms(deadline) > 0)
		pause_ms(kDropPoll);
}

SlotState
read_slot(Connection *control, const char *slot_name)
{
	SlotState slot = {};
	PGresult *result = query(
		control,
		psprintf(
			"SELECT slot_type = 'logical' AND plugin = 'pgoutput' "
			"AND database = current_database(), "
			"active, active_pid, confirmed_flush_lsn, restart_lsn, "
			"coalesce(wal_status = 'lost', false) OR s.j ->> 'invalidation_reason' IS NOT NULL, "
			"CASE WHEN pg_is_in_recovery() THEN 0 "
			"ELSE greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0) END::bigint, "
			"coalesce(wal_status, ''), "
			"CASE WHEN safe_wal_size IS NOT NULL THEN greatest(safe_wal_size, 0) END, "
			"s.j ->> 'invalidation_reason', s.j ->> 'inactive_since', "
			"s.j ? 'failover', coalesce((s.j ->> 'failover')::boolean, false) "
			"FROM pg_replication_slots r CROSS JOIN LATERAL (SELECT to_jsonb(r)) s(j) "
			"WHERE slot_name = %s",
			quote_string(slot_name)));

	if (PQntuples(result) == 0)
		return slot;
	slot.exists = true;
	slot.is_ours = get_bool(result, 0, 0);
	slot.active = get_bool(result, 0, 1);
	slot.active_pid = static_cast<int>(get_int64(result, 0, 2));
	slot.confirmed_flush = get_lsn(result, 0, 3);
	slot.restart = get_lsn(result, 0, 4);
	slot.lost = get_bool(result, 0, 5);
	slot.retained_bytes = get_int64(result, 0, 6);
	slot.wal_status = get_text(result, 0, 7);
	slot.safe_bytes = is_null(result, 0, 8) ? -1 : get_int64(result, 0, 8);
	slot.invalidation = is_null(result, 0, 9) ? nullptr : get_text(result, 0, 9);
	slot.inactive_since = is_null(result, 0, 10) ? nullptr : get_text(result, 0, 10);
	slot.can_fail_over = get_bool(result, 0, 11);
	slot.fails_over = get_bool(result, 0, 12);
	return slot;
}

bool
try_set_failover(Connection *stream, const char *slot_name, bool wanted)
{
	PGresult *result =
		try_query(stream, psprintf("ALTER_REPLICATION_SLOT %s (FAILOVER %s)", quote_name(slot_name),
								   wanted ? "true" : "false"));

	if (PQresultStatus(result) == PGRES_COMMAND_OK)
		return true;
	if (is_in_use(result))
		return false;
	raise_remote_error(stream, result, psprintf("alter the replication slot \"%s\"", slot_name));
}

wire::Lsn
create_slot(Connection *stream, Connection *control, const char *slot_name, bool wants_failover,
			void (*on_wait)(void *argument, const char *text), void *argument)
{
	/* The older form of the option is known to all versions, but not beside the newer. */
	bool fails_over = wants_failover && control->server_version >= kFailoverVersion;

	start_query(stream,
				psprintf("CREATE_REPLICATION_SLOT %s LOGICAL pgoutput %s", quote_name(slot_name),
						 fails_over ? "(SNAPSHOT 'nothing', FAILOVER true)" : "NOEXPORT_SNAPSHOT"));

	PGresult *result = wait_for_slot(stream, control, on_wait, argument);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		raise_remote_error(stream, result,
						   psprintf("create the replication slot \"%s\"", slot_name));
	return get_lsn(result, 0, 1);
}

void
drop_slot(Connection *control, const char *slot_name)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kLongestDrop);

	for (;;)
	{
		SlotState slot = read_slot(control, slot_name);

		if (!slot.exists)
			return;
		if (!slot.is_ours)
		{
			ereport(WARNING,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("replication slot \"%s\" at the source is left as it is", slot_name),
					 errdetail("It is not a logical slot of pgoutput in this database.")));
			return;
		}
		if (slot.active)
			end_user_of_slot(control, slot_name);

		PGresult *result = try_query(
			control, psprintf("SELECT pg_drop_replication_slot(%s)", quote_string(slot_name)));

		if (PQresultStatus(result) == PGRES_TUPLES_OK || is_gone(result))
			return;
		if (!is_in_use(result) || remaining_ms(deadline) == 0)
			raise_remote_error(control, result,
							   psprintf("drop the replication slot \"%s\"", slot_name));
		pause_ms(kDropPoll);
	}
}

} // namespace source
