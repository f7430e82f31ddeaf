/*
 * api/leftovers.hpp
 *
 * DROP EXTENSION and DROP DATABASE take the connectors away without a word to their sources, where the slots then keep WAL
 * until the disk is full.  Neither can be made to wait for other servers.  So they say what they leave behind, and what
 * to run where.
 */
#pragma once

#include "base/pg.hpp"

namespace api
{

/* A table is about to be dropped: one of ours warns of the slots that it knows. */
void warn_of_dropped_table(Oid relid);
/* The same for a database, as far as its connectors have run since the server started. */
void warn_of_dropped_database(Oid database);

} // namespace api
