/*
 * state/table_states.cpp
 *
 * The steps from state to state.  See synced_table.hpp, which has them drawn.
 */
#include "state/stats.hpp"
#include "state/synced_table.hpp"

using namespace base;

namespace state
{

void
start_copying(int64 id, bool target_is_empty)
{
	run_alone("DELETE FROM livesync.spool WHERE table_id = $1", {bigint_value(id)});
	run_alone("DELETE FROM livesync.chunk WHERE table_id = $1", {bigint_value(id)});
	run_alone("DELETE FROM livesync.aside WHERE table_id = $1", {bigint_value(id)});
	(void) cancel_wish(id, Wish::skip);
	run_alone(
		"UPDATE livesync.synced_table SET state = 'copying', phase = 'gate', "
		"generation = generation + 1, empty_at_start = $2, load_upserts = NOT $2, "
		"chunks_total = 0, exported = NULL, snapshot = NULL, end_lsn = NULL, parked_lsn = NULL, "
		"failed_from = NULL, paused_from = NULL, "
		"updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
		{bigint_value(id), bool_value(target_is_empty)});
}

void
record_admit_lsn(int64 id, XLogRecPtr lsn)
{
	run_alone("UPDATE livesync.synced_table SET phase = 'confirm', admit_lsn = $2, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(id), lsn_value(lsn)});
}

void
record_plan(const SyncedTable *table, int chunks, const Oid *binary_types, const char *exported,
			const char *snapshot)
{
	char **types = (char **) palloc(sizeof(char *) * (table->ncolumns + 1));

	for (int i = 0; i < table->ncolumns; i++)
		types[i] = psprintf("%u", binary_types[i]);
	run_alone("UPDATE livesync.synced_table SET phase = 'load', chunks_total = $2, "
			  "binary_types = $3::pg_catalog.oid[], exported = $4, snapshot = $5, "
			  "last_error = NULL, hint = NULL, error_lsn = NULL, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(table->id), int_value(chunks), text_array_value(table->ncolumns, types),
			   text_value(exported), text_value(snapshot)});
}

bool
copy_as_text(int64 id)
{
	return run_alone("UPDATE livesync.synced_table SET binary_types = '{}', "
					 "updated_at = pg_catalog.clock_timestamp() "
					 "WHERE id = $1 AND binary_types <> '{}'",
					 {bigint_value(id)}) > 0;
}

/*
 * What holds no row is not analyzed: the server takes a table of which it knows nothing for one of some pages, but that one for tiny,
 * and sessions keep plans that go through all of it.
 */
void
finish_load(int64 id, XLogRecPtr end_lsn)
{
	run_alone(
		"UPDATE livesync.synced_table SET parked_lsn = CASE state WHEN 'streaming' THEN $2 END, "
		"state = 'catching_up', phase = '', end_lsn = $2, analyze_wanted = EXISTS "
		"(SELECT FROM livesync.chunk c WHERE c.table_id = $1 AND c.rows > 0), "
		"exported = NULL, updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
		{bigint_value(id), lsn_value(end_lsn)});
}

void
move_end_lsn(int64 id, XLogRecPtr end_lsn)
{
	run_alone("UPDATE livesync.synced_table SET end_lsn = greatest(end_lsn, $2) WHERE id = $1",
			  {bigint_value(id), lsn_value(end_lsn)});
}

void
set_streaming(int64 id)
{
	run_alone("UPDATE livesync.synced_table SET state = 'streaming', phase = '', snapshot = NULL, "
			  "parked_lsn = NULL, "
			  "streams_since = coalesce(streams_since, pg_catalog.clock_timestamp()), "
			  "last_error = NULL, hint = NULL, error_lsn = NULL, failed_from = NULL, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(id)});
}

void
set_failed(int64 id, const char *error, const char *hint, XLogRecPtr lsn)
{
	run_alone("UPDATE livesync.synced_table SET failed_from = CASE state WHEN 'failed' THEN "
			  "failed_from ELSE state END, parked_lsn = CASE state WHEN 'streaming' THEN $4 + 1 "
			  "ELSE parked_lsn END, state = 'failed', last_error = $2, hint = $3, error_lsn = $4, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(id), text_value(error), text_value(hint), lsn_value(lsn)});
	count_error(id);
}

bool
leave_failed(int64 id)
{
	/* what was wrong stays to be read until it is known to be mended */
	return run_alone(
			   "UPDATE livesync.synced_table SET state = CASE failed_from "
			   "WHEN 'streaming' THEN 'catching_up' ELSE failed_from END, "
			   "end_lsn = CASE failed_from WHEN 'streaming' THEN parked_lsn ELSE end_lsn END, "
			   "failed_from = NULL, "
			   "updated_at = pg_catalog.clock_timestamp() WHERE id = $1 AND state = 'failed'",
			   {bigint_value(id)}) == 1;
}

void
set_paused(int64 id, XLogRecPtr applied)
{
	run_alone("UPDATE livesync.synced_table SET paused_from = state, state = 'paused', "
			  "parked_lsn = CASE state WHEN 'streaming' THEN $2 ELSE parked_lsn END, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(id), lsn_value(applied)});
}

bool
leave_paused(int64 id)
{
	return run_alone("UPDATE livesync.synced_table SET state = CASE paused_from "
					 "WHEN 'streaming' THEN 'catching_up' ELSE paused_from END, "
					 "end_lsn = CASE paused_from WHEN 'streaming' THEN NULL ELSE end_lsn END, "
					 "paused_from = NULL, "
					 "updated_at = pg_catalog.clock_timestamp() WHERE id = $1 AND state = 'paused'",
					 {bigint_value(id)}) == 1;
}

void
restart_copy(int64 id, bool empty_target)
{
	/* one that is paused stays so, and begins when it is resumed */
	run_alone("UPDATE livesync.synced_table SET state = CASE state WHEN 'paused' THEN state "
			  "ELSE 'queued' END, paused_from = CASE state WHEN 'paused' THEN 'queued' END, "
			  "phase = '', failed_from = NULL, "
			  "exported = NULL, snapshot = NULL, load_upserts = load_upserts AND NOT $2, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(id), bool_value(empty_target)});
}

} // namespace state
