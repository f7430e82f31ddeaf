/*
 * worker/left_indexes.hpp
 *
 * A table that we created is left before its copy was over: by a call that drops its connector or removes the table, or
 * because it left the publication.  It has none of its indexes then, not even its key's.
 *
 * They are built at once where that takes no time.  Elsewhere it could take hours, and the rows of an unfinished copy may
 * not even be fit for it: what is missing is told, with the statements that build it.
 */
#pragma once

#include "state/synced_table.hpp"

namespace worker
{

/* Nobody works on the table any more. */
void settle_left_indexes(const char *connector, const state::SyncedTable *table);

} // namespace worker
