/*
 * api/compare_range.hpp
 *
 * Is one range of a table equal on both sides, while changes stream?
 *
 *   range:           totals there, totals here ─ equal ─► done
 *                        └─ not ─► keys there, position, wait until applied, keys here ─► suspects
 *   suspects:        there (1), position, wait until applied, here, there again (2)
 *                        here is as (1) or as (2)        equal
 *                        (1) is as (2), again and again  different: nobody was changing it
 *                        else                            it moves: once more
 *
 * A range counts as equal when the target has been seen in a state that the source was in.  No
 * transaction stays open at the source between two looks, and nothing is locked.
 *
 * Surprising: no snapshot of the target at the source's position is ever taken; it could not be
 * without stopping the apply.  A difference is believed only of rows that stand still, and for some
 * time: a commit is sent as soon as it is on disk, and may be seen here before it is seen there.
 */
#pragma once

#include "api/compare.hpp"

namespace api
{

constexpr int kMostKeys = 10; /* listed of each kind */

struct KeyList
{
	int count;
	char *keys[kMostKeys];
};

struct Verdict
{
	const char *part;
	int64 source_rows;
	int64 target_rows;
	XLogRecPtr lsn; /* the source's position of the look that counts */
	KeyList missing;
	KeyList extra;
	KeyList different;
	KeyList moving;
	int found; /* differences for certain, listed or not */
	int unsettled;
};

struct CompareCall
{
	const state::Connector *connector;
	const state::SyncedTable *table;
	Comparison comparison;
	MemoryContext range_memory;
	ReturnSetInfo *result;
	Verdict total;
};

/* ERROR when the table, or its connector, is gone or does not stream. */
void require_streaming(const CompareCall *call);

Verdict compare_range(CompareCall *call, const Range &range);

} // namespace api
