/*
 * base/change_counts.hpp
 *
 * What is counted of the changes that are applied to a table: the columns of livesync.stats.  Counted in target/, summed in
 * worker/, written in state/.
 *
 * A new counter is a member, a line in one of the two lists, and a column in state/stats.cpp.
 */
#pragma once

#include "base/pg.hpp"

namespace base
{

struct ChangeCounts
{
	int64 inserts;
	int64 updates;
	int64 deletes;
	int64 truncates;
	int64 batches;
	int64 replayed_batches;
	int64 insert_exists;
	int64 update_missing;
	int64 delete_missing;
	int64 update_exists;
	int64 update_origin_differs;
	int64 delete_origin_differs;
};

struct Counter
{
	const char *name;
	int64 ChangeCounts::*member;
};

inline constexpr Counter kWorkCounters[] = {
	{"inserts", &ChangeCounts::inserts}, {"updates", &ChangeCounts::updates},
	{"deletes", &ChangeCounts::deletes}, {"truncates", &ChangeCounts::truncates},
	{"batches", &ChangeCounts::batches}, {"replayed_batches", &ChangeCounts::replayed_batches},
};

/* In the order in which the server log names them. */
inline constexpr Counter kConflictCounters[] = {
	{"insert_exists", &ChangeCounts::insert_exists},
	{"update_missing", &ChangeCounts::update_missing},
	{"delete_missing", &ChangeCounts::delete_missing},
	{"update_exists", &ChangeCounts::update_exists},
	{"update_origin_differs", &ChangeCounts::update_origin_differs},
	{"delete_origin_differs", &ChangeCounts::delete_origin_differs},
};

static_assert(sizeof(ChangeCounts) ==
			  sizeof(int64) * (lengthof(kWorkCounters) + lengthof(kConflictCounters)));

inline void
add_counts(ChangeCounts *total, const ChangeCounts &part)
{
	for (const Counter &it : kWorkCounters)
		total->*it.member += part.*it.member;
	for (const Counter &it : kConflictCounters)
		total->*it.member += part.*it.member;
}

inline bool
has_conflicts(const ChangeCounts &counts)
{
	for (const Counter &it : kConflictCounters)
		if (counts.*it.member != 0)
			return true;
	return false;
}

} // namespace base
