/*
 * source/prerequisites.hpp
 *
 * What must hold at the source before anything is made there.  Read-only; raises the first thing
 * that does not hold, with what to do about it.
 */
#pragma once

#include "source/connection.hpp"

namespace source
{

/*
 * Version 13 or later, not in recovery, wal_level = logical, a free slot and walsender (only when
 * needs_slot), the REPLICATION right (superuser, rolreplication, or membership of such a role),
 * the named publications exist (publications may be NULL), or - when NULL - CREATE on the database.
 */
void check_prerequisites(Connection *connection, int npublications, const char *const *publications,
						 bool needs_slot);

/* Is the far end this very database?  Its changes would come back as changes for ever. */
bool is_this_database(Connection *connection);

} // namespace source
