/*
 * state/stats.hpp
 *
 * Counters of what was applied to each table.  They are written with a commit every few seconds and when the stream is idle,
 * so a crash may lose the counts of the last moment, never rows.
 */
#pragma once

#include "base/change_counts.hpp"

namespace state
{

void add_stats(int64 table_id, const base::ChangeCounts &delta);
void count_error(int64 table_id);
void count_skipped(int64 table_id);

} // namespace state
