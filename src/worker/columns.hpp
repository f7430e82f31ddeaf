/*
 * worker/columns.hpp
 *
 * Columns that are not what they were, although the stream describes them as before: their values in rows that were there
 * changed without an event.  The table is copied again beside, as resync_table() does.
 *
 * Surprising: as with partitions, what a look finds is not recorded.  The new copy brings the record of its own begin; so
 * whatever becomes of it, the next look finds the difference again.
 */
#pragma once

#include "source/catalog.hpp"
#include "worker/connector.hpp"

namespace worker
{

/* At each look at the source. Needs a transaction. */
void follow_columns(ConnectorWorker *worker, const source::PublishedTables &published);

} // namespace worker
