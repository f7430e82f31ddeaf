/*
 * worker/partitions.hpp
 *
 * Partitions of a root that the source publishes under the root's name.  A partition that is attached there with its rows
 * brings them without a change in the stream:
 *
 *   while the root is copied    found when the copy is planned, or at the end of the load: the copy starts over
 *   later                       found by a look at the source: the root is copied again beside, as resync_table() does
 *   while it is held still      found when it goes on
 *
 * A partition that is made as one is empty then, so everything in it comes by the stream.  One that is detached, dropped or
 * truncated by itself takes its rows from the root without a change, too; as with the server's own subscriptions they stay here.
 */
#pragma once

#include "source/catalog.hpp"
#include "worker/connector.hpp"
#include "worker/copier.hpp"

namespace worker
{

/* At each look at the source, with how it publishes the table. */
void follow_partitions(ConnectorWorker *worker, const state::SyncedTable *table,
					   const source::PublishedTable &published);

/* Beside what is here.  False: a copy runs already, or the last one could not be taken over just now. */
bool try_copy_again(ConnectorWorker *worker, const state::SyncedTable *table);

/*
 * When a copy is planned, before the sizes are read, and after the last chunk.  True: some were attached since the last note, with
 * rows, and the copy starts over.  Else those of now are noted.
 */
bool restart_if_attached(const Copier *copier, const state::SyncedTable *table);

} // namespace worker
