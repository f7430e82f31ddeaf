/*
 * worker/listing.hpp
 *
 * From what the source publishes to what is recorded here: used when a connector is created and at
 * each look at the publications.
 */
#pragma once

#include "source/catalog.hpp"
#include "state/connector.hpp"
#include "state/listing.hpp"
#include "state/synced_table.hpp"

namespace worker
{

state::Publication describe_publication(const source::PublishedTable &published);

/* Record a table as queued; `listing` is what a call said of it, or nullptr. */
void list_table(const state::Connector *connector, const source::PublishedTable &published,
				const state::Listing *listing, state::Phase phase);

} // namespace worker
