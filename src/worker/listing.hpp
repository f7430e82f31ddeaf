/*
 * worker/listing.hpp
 *
 * From what the source publishes to what is recorded here: used when a connector is created and at
 * each look at the publications.
 */
#pragma once

#include "source/catalog.hpp"
#include "state/connector.hpp"
#include "state/synced_table.hpp"

namespace worker
{

state::Publication describe_publication(const source::PublishedTable &published);

/* Record a table as queued (streaming at once when the connector copies no data). */
void list_table(const state::Connector *connector, const source::PublishedTable &published,
				state::Phase phase);

} // namespace worker
