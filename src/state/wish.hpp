/*
 * state/wish.hpp
 *
 * What calls want to be done to a table; one at a time for each.
 *
 * Kept beside the table: its row is held by who loads, and must not be held by a call, whose transaction may be long.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

/* What a call asked for and no worker has done yet. */
enum class Wish
{
	none,
	pause, /* fulfilled by the connector worker */
	skip, /* drop the change that fails; fulfilled by a copy worker; nobody drains the spool meanwhile */
};

/* As SyncedTable is read; nullptr: none. */
Wish wish_of_word(const char *word);

bool make_wish(int64 id, Wish wish);	 /* false: there is one already; waits for other calls */
bool cancel_wish(int64 id, Wish wish);	 /* false: there is none such, not any more */
bool try_take_wish(int64 id, Wish wish); /* the same without waiting, by who fulfils it */
bool has_wish(int64 id);

} // namespace state
