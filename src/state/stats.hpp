/*
 * state/stats.hpp
 *
 * Counters of what was applied to each table.  They are written with a commit every half second and when the stream is idle,
 * so a crash may lose the counts of the last moment, never rows.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

struct TableStats
{
	int64 inserts;
	int64 updates;
	int64 deletes;
	int64 truncates;
	int64 insert_exists;
	int64 update_missing;
	int64 delete_missing;
	int64 update_exists;
	int64 update_origin_differs;
	int64 delete_origin_differs;
	int64 batches;
	int64 replayed_batches;
};

void add_stats(int64 table_id, const TableStats &delta);
void count_error(int64 table_id);
void count_skipped(int64 table_id);

} // namespace state
