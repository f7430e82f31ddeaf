/*
 * state/partitions.hpp
 *
 * Of a partitioned source table: the links of those partitions whose rows are known to be in its target, as the source
 * gave them.  Recorded before a copy begins, when it is planned, when it is whole, and with each look that found nothing missing.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

/* nullptr: not known. */
char *load_partitions(int64 table_id);
void record_partitions(int64 table_id, const char *links); /* nullptr: it has no partitions */

} // namespace state
