/*
 * worker/partition_identity.hpp
 *
 * Partitions that come with another replica identity than the root has: the root fails as soon as a look at the source finds
 * one, since its changes would be lost without a word.  It is not tried again before a look finds it mended.
 */
#pragma once

#include "source/catalog.hpp"
#include "worker/connector.hpp"

namespace worker
{

/* At each look at the source, between two of its transactions. Needs a transaction. */
void follow_partition_identities(ConnectorWorker *worker, const source::PublishedTables &published);

} // namespace worker
