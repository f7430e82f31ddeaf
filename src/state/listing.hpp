/*
 * state/listing.hpp
 *
 * What calls said about single tables of a connector: that one is to be synced, under which name, or that one is to be
 * left out although it is published.  Tables that no call spoke of have no row here.
 *
 *               worker: in the publication     worker: recorded
 *   add_table ─► publish ────────────────► add ────────────────► listed
 *                (own publication only)
 *
 *                  worker: out of the publication
 *   remove_table ─► withdraw ───────────────────► left_out
 *                   (own publication only)
 *
 * A later call for the same table begins anew.  Rows are kept beside the synced tables because a table has none before
 * it is published, and because what was left out must stay out for as long as the connector lives.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

enum class ListingState
{
	publish,  /* the own publication must get it */
	add,	  /* it is published: the next look at the publications takes it up, or anew */
	listed,	  /* it is a synced table */
	withdraw, /* not synced any more; the own publication must lose it */
	left_out, /* not synced, published or not */
};

struct Listing
{
	char *schema; /* at the source */
	char *name;
	ListingState state;
	char *target_schema; /* nullptr: as for every table of the connector */
	char *target_name;
	bool copy_data;
	char *hypertable_column; /* nullptr: none */
	char *chunk_interval;	 /* nullptr: the usual one */
	TimestampTz wanted_at;	 /* when the state was entered */
};

struct Listings
{
	int count;
	Listing *rows;
};

inline bool
is_left_out(const Listing *listing)
{
	return listing != nullptr &&
		   (listing->state == ListingState::withdraw || listing->state == ListingState::left_out);
}

Listings load_listings(int connector_id);
/* nullptr: no call spoke of it. */
Listing *find_listing(int connector_id, const char *schema, const char *name);

/* What a call wants, instead of what an earlier one wanted; waits for other calls for that table. */
void record_listing(int connector_id, const Listing &listing);
/* For workers.  False, and nothing done: a call wants something else by now, or is just saying so. */
bool try_set_listing_state(int connector_id, const Listing *listing, ListingState next);
bool try_forget_listing(int connector_id, const Listing *listing);

} // namespace state
