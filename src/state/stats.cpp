/*
 * state/stats.cpp
 *
 * See stats.hpp.
 */
#include "state/stats.hpp"

#include "base/sql.hpp"

using namespace base;

namespace state
{

void
add_stats(int64 table_id, const ChangeCounts &delta)
{
	run_alone("UPDATE livesync.table_stats SET inserts = inserts + $2, updates = updates + $3, "
			  "deletes = deletes + $4, truncates = truncates + $5, "
			  "insert_exists = insert_exists + $6, update_missing = update_missing + $7, "
			  "delete_missing = delete_missing + $8, batches = batches + $9, "
			  "replayed_batches = replayed_batches + $10, update_exists = update_exists + $11, "
			  "update_origin_differs = update_origin_differs + $12, "
			  "delete_origin_differs = delete_origin_differs + $13 "
			  "WHERE table_id = $1",
			  {bigint_value(table_id), bigint_value(delta.inserts), bigint_value(delta.updates),
			   bigint_value(delta.deletes), bigint_value(delta.truncates),
			   bigint_value(delta.insert_exists), bigint_value(delta.update_missing),
			   bigint_value(delta.delete_missing), bigint_value(delta.batches),
			   bigint_value(delta.replayed_batches), bigint_value(delta.update_exists),
			   bigint_value(delta.update_origin_differs),
			   bigint_value(delta.delete_origin_differs)});
}

void
count_error(int64 table_id)
{
	run_alone("UPDATE livesync.table_stats SET errors = errors + 1 WHERE table_id = $1",
			  {bigint_value(table_id)});
}

void
count_skipped(int64 table_id)
{
	run_alone("UPDATE livesync.table_stats SET skipped = skipped + 1 WHERE table_id = $1",
			  {bigint_value(table_id)});
}

} // namespace state
