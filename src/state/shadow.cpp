/*
 * state/shadow.cpp
 *
 * Shadows: see synced_table.hpp.
 */
#include "state/synced_table.hpp"

using namespace base;

namespace state
{

bool
may_resync(const SyncedTable *table)
{
	if (table->phase != Phase::none)
		return false;
	switch (table->state)
	{
		case TableState::streaming:
		case TableState::catching_up:
		case TableState::failed:
			return true;
		case TableState::queued:
		case TableState::copying:
		case TableState::paused:
			return false;
	}
	return false;
}

bool
add_shadow(int64 id)
{
	return run_alone(
			   "INSERT INTO livesync.synced_table (connector_id, source_schema, source_name, "
			   "source_oid, target_schema, target_name, mode, copy_data, fingerprint, columns, "
			   "key_columns, row_filter, replica_identity, bytes_expected, rows_expected, "
			   "shadow_of) SELECT connector_id, source_schema, source_name, source_oid, "
			   "target_schema, 'livesync_resync_' || id, mode, true, fingerprint, columns, "
			   "key_columns, row_filter, replica_identity, bytes_expected, rows_expected, id "
			   "FROM livesync.synced_table WHERE id = $1 ON CONFLICT DO NOTHING",
			   {bigint_value(id)}) == 1;
}

SyncedTable *
load_shadow(int64 id, RowLock lock)
{
	int64 shadow = read_number("SELECT id FROM livesync.synced_table WHERE shadow_of = $1",
							   {bigint_value(id)});

	return shadow != 0 ? load_table(shadow, lock) : nullptr;
}

void
begin_exchange(const SyncedTable *table, const SyncedTable *shadow, int64 last_segment,
			   XLogRecPtr applied)
{
	run_alone("UPDATE livesync.synced_table SET state = 'catching_up', phase = 'exchange', "
			  "parked_lsn = CASE state WHEN 'streaming' THEN $2 ELSE parked_lsn END, "
			  "updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
			  {bigint_value(table->id), lsn_value(applied)});
	run_alone("UPDATE livesync.synced_table SET phase = 'exchange', parked_segment = $2, "
			  "end_lsn = $3 WHERE id = $1",
			  {bigint_value(shadow->id), bigint_value(last_segment), lsn_value(applied)});
	(void) cancel_wish(table->id, Wish::skip);
}

void
finish_exchange(const SyncedTable *table, const SyncedTable *shadow)
{
	run_alone("DELETE FROM livesync.spool WHERE table_id = $1 AND (generation <> $2 "
			  "OR segment <= $3)",
			  {bigint_value(table->id), int_value(table->generation),
			   bigint_value(shadow->parked_segment)});
	run_alone("DELETE FROM livesync.chunk WHERE table_id = $1", {bigint_value(table->id)});
	run_alone("DELETE FROM livesync.aside WHERE table_id = $1", {bigint_value(table->id)});
	run_alone(
		"UPDATE livesync.synced_table SET phase = '', parked_lsn = $2, end_lsn = $2, "
		"empty_at_start = true, load_upserts = false, exported = NULL, snapshot = NULL, "
		"chunks_total = 0, failed_from = NULL, last_error = NULL, hint = NULL, "
		"error_lsn = NULL, partitions = (SELECT s.partitions FROM livesync.synced_table s "
		"WHERE s.id = $3), column_look = NULL, column_versions = (SELECT s.column_versions FROM "
		"livesync.synced_table s WHERE s.id = $3), updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
		{bigint_value(table->id), lsn_value(shadow->end_lsn), bigint_value(shadow->id)});
}

void
leave_exchange(int64 id)
{
	run_alone("UPDATE livesync.synced_table SET phase = '', "
			  "state = CASE WHEN failed_from IS NULL THEN state ELSE 'failed' END "
			  "WHERE id = $1 AND phase = 'exchange'",
			  {bigint_value(id)});
}

void
delete_table(int64 id)
{
	/* foreign keys do nothing in the workers, which are in replica role */
	for (const char *what : {"spool", "chunk", "aside", "wish", "table_stats"})
		run_alone(psprintf("DELETE FROM livesync.%s WHERE table_id = $1", what),
				  {bigint_value(id)});
	run_alone("DELETE FROM livesync.synced_table WHERE id = $1", {bigint_value(id)});
}

} // namespace state
