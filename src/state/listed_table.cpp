/*
 * state/listed_table.cpp
 *
 * A table as its publication has it: that it is listed, is published otherwise, is listed no more.  See synced_table.hpp.
 */
#include "state/synced_table.hpp"

using namespace base;

namespace state
{
namespace
{

const char *
mode_name(const Publication &publication)
{
	return publication.keyed ? "keyed" : "snapshot";
}

int64
find_table(int connector_id, const char *schema, const char *name)
{
	return read_number("SELECT id FROM livesync.synced_table WHERE connector_id = $1 "
					   "AND source_schema = $2 AND source_name = $3 AND shadow_of IS NULL",
					   {int_value(connector_id), text_value(schema), text_value(name)});
}

} // namespace

void
add_table(int connector_id, const Publication &publication, const char *target_schema,
		  const char *target_name, bool copy_data, Phase phase)
{
	/* one that comes back is copied again, from an empty target: what it missed is not known */
	if (run_alone(
			"UPDATE livesync.synced_table SET released = false, state = 'queued', phase = $4, "
			"updated_at = pg_catalog.clock_timestamp() WHERE connector_id = $1 "
			"AND source_schema = $2 AND source_name = $3 AND released",
			{int_value(connector_id), text_value(publication.schema), text_value(publication.name),
			 text_value(phase_name(phase))}) > 0)
	{
		record_publication(find_table(connector_id, publication.schema, publication.name),
						   publication, false);
		return;
	}
	run_alone(
		"WITH t AS (INSERT INTO livesync.synced_table (connector_id, source_schema, "
		"source_name, source_oid, target_schema, target_name, copy_data, phase, fingerprint, "
		"columns, key_columns, row_filter, replica_identity, mode, bytes_expected, "
		"rows_expected) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, "
		"$15, $16) RETURNING id) INSERT INTO livesync.table_stats (table_id) SELECT id FROM t",
		{int_value(connector_id), text_value(publication.schema), text_value(publication.name),
		 oid_value(publication.oid), text_value(target_schema), text_value(target_name),
		 bool_value(copy_data), text_value(phase_name(phase)), text_value(publication.fingerprint),
		 text_array_value(publication.ncolumns, publication.columns),
		 text_array_value(publication.nkey_columns, publication.key_columns),
		 text_value(publication.row_filter), char_value(publication.replica_identity),
		 text_value(mode_name(publication)), bigint_value(publication.bytes),
		 bigint_value(publication.rows)});
}

void
record_hypertable(int connector_id, const char *schema, const char *name, const char *column,
				  const char *chunk_interval)
{
	run_alone("UPDATE livesync.synced_table SET hypertable_column = $4, "
			  "chunk_interval = $5::pg_catalog.interval WHERE connector_id = $1 "
			  "AND source_schema = $2 AND source_name = $3",
			  {int_value(connector_id), text_value(schema), text_value(name), text_value(column),
			   text_value(chunk_interval)});
}

void
release_table(int64 id)
{
	run_alone("DELETE FROM livesync.spool WHERE table_id = $1", {bigint_value(id)});
	run_alone("DELETE FROM livesync.chunk WHERE table_id = $1", {bigint_value(id)});
	run_alone("DELETE FROM livesync.aside WHERE table_id = $1", {bigint_value(id)});
	run_alone("UPDATE livesync.synced_table SET released = true, state = 'paused', phase = '', "
			  "parked_lsn = NULL, failed_from = NULL, paused_from = NULL WHERE id = $1",
			  {bigint_value(id)});
	(void) cancel_wish(id, Wish::pause);
	(void) cancel_wish(id, Wish::skip);
}

void
record_publication(int64 id, const Publication &publication, bool restart)
{
	run_alone("UPDATE livesync.synced_table SET shape_columns = CASE source_oid WHEN $2 THEN "
			  "shape_columns END, source_oid = $2, fingerprint = $3, columns = $4, "
			  "key_columns = $5, row_filter = $6, replica_identity = $7, mode = $8, "
			  "bytes_expected = $9, rows_expected = $10 WHERE id = $1",
			  {bigint_value(id), oid_value(publication.oid), text_value(publication.fingerprint),
			   text_array_value(publication.ncolumns, publication.columns),
			   text_array_value(publication.nkey_columns, publication.key_columns),
			   text_value(publication.row_filter), char_value(publication.replica_identity),
			   text_value(mode_name(publication)), bigint_value(publication.bytes),
			   bigint_value(publication.rows)});
	if (restart)
		run_alone("UPDATE livesync.synced_table SET state = 'queued', phase = 'publish_gate', "
				  "failed_from = NULL, paused_from = NULL, last_error = NULL, hint = NULL, "
				  "error_lsn = NULL, updated_at = pg_catalog.clock_timestamp() WHERE id = $1",
				  {bigint_value(id)});
}

} // namespace state
