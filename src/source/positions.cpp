/*
 * source/positions.cpp
 *
 * Owns: where the source's WAL stands, and which source it is.
 *
 * Surprising: what a query of ours sees may not be on the source's disk yet (a commit with
 * synchronous_commit = off is visible first), and on an idle source it may stay so for many
 * seconds.  Whoever keeps what was read waits for the flush; a commit of ours brings it about,
 * because the source's walwriter looks after asynchronous commits within its wal_writer_delay.
 */
#include "source/catalog.hpp"
#include "source/remote_error.hpp"
#include "source/result.hpp"
#include "source/timeline.hpp"
#include "source/waiting.hpp"

namespace source
{
namespace
{

constexpr long kFlushPoll = 5;
constexpr int kLongestFlush = 60000;

} // namespace

Positions
read_positions(Connection *control)
{
	Positions positions = {};
	PGresult *result =
		query(control, "SELECT pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn()");

	positions.insert = get_lsn(result, 0, 0);
	positions.flush = get_lsn(result, 0, 1);
	return positions;
}

wire::Lsn
wait_source_flushed(Connection *control)
{
	Positions positions = read_positions(control);
	wire::Lsn wanted = positions.insert;
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kLongestFlush);

	if (positions.flush >= wanted)
		return wanted;
	(void) query(control, "SELECT pg_current_xact_id()");
	while (read_positions(control).flush < wanted)
	{
		if (remaining_ms(deadline) == 0)
			ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
							errmsg("the source did not write its WAL to disk within %d s",
								   kLongestFlush / 1000),
							errhint("Look at the source's disk and its walwriter process.")));
		pause_ms(kFlushPoll);
	}
	return wanted;
}

SystemIdentity
identify_system(Connection *stream)
{
	SystemIdentity identity = {};
	PGresult *result = query(stream, "IDENTIFY_SYSTEM");

	identity.system_identifier = get_text(result, 0, 0);
	identity.timeline = get_oid(result, 0, 1);
	identity.flush = get_lsn(result, 0, 2);
	return identity;
}

bool
read_switch_point(Connection *stream, uint32 current_timeline, uint32 old_timeline, wire::Lsn *lsn)
{
	/* The first timeline has no history. */
	if (current_timeline <= 1)
		return false;

	PGresult *result = query(stream, psprintf("TIMELINE_HISTORY %u", current_timeline));
	std::string_view content(PQgetvalue(result, 0, 1),
							 static_cast<size_t>(PQgetlength(result, 0, 1)));

	return switch_point(content, old_timeline, lsn);
}

} // namespace source
