/*
 * state/listing.cpp
 *
 * See listing.hpp.
 */
#include "state/listing.hpp"

using namespace base;

namespace state
{
namespace
{

#define LISTING_COLUMNS                                                                            \
	"SELECT source_schema, source_name, state, target_schema, target_name, copy_data, wanted_at, " \
	"hypertable_column, chunk_interval::text FROM livesync.listing "

struct StateWord
{
	ListingState state;
	const char *word;
};

constexpr StateWord kStateWords[] = {
	{ListingState::publish, "publish"},	  {ListingState::add, "add"},
	{ListingState::listed, "listed"},	  {ListingState::withdraw, "withdraw"},
	{ListingState::left_out, "left_out"},
};

ListingState
state_of(const char *word)
{
	for (const StateWord &it : kStateWords)
		if (strcmp(word, it.word) == 0)
			return it.state;
	elog(ERROR, "unknown state of a listing");
}

const char *
word_of(ListingState state)
{
	for (const StateWord &it : kStateWords)
		if (state == it.state)
			return it.word;
	elog(ERROR, "unknown state of a listing");
}

Listing
read_row(const SqlScope &scope, uint64 row)
{
	Listing it{};

	it.schema = get_text(scope, row, 1);
	it.name = get_text(scope, row, 2);
	it.state = state_of(get_text(scope, row, 3));
	it.target_schema = get_text(scope, row, 4);
	it.target_name = get_text(scope, row, 5);
	it.copy_data = get_bool(row, 6);
	it.wanted_at = get_bigint(row, 7); /* a timestamp is one */
	it.hypertable_column = get_text(scope, row, 8);
	it.chunk_interval = get_text(scope, row, 9);
	return it;
}

} // namespace

Listings
load_listings(int connector_id)
{
	SqlScope scope = begin_sql();
	int count = (int) run_sql(LISTING_COLUMNS "WHERE connector_id = $1 ORDER BY 1, 2",
							  {int_value(connector_id)});
	Listings it{count, (Listing *) MemoryContextAlloc(scope.caller, sizeof(Listing) * (count + 1))};

	for (int i = 0; i < count; i++)
		it.rows[i] = read_row(scope, i);
	end_sql();
	return it;
}

Listing *
find_listing(int connector_id, const char *schema, const char *name)
{
	SqlScope scope = begin_sql();
	Listing *listing = nullptr;

	if (run_sql(LISTING_COLUMNS
				"WHERE connector_id = $1 AND source_schema = $2 AND source_name = $3",
				{int_value(connector_id), text_value(schema), text_value(name)}) == 1)
	{
		listing = (Listing *) MemoryContextAlloc(scope.caller, sizeof(Listing));
		*listing = read_row(scope, 0);
	}
	end_sql();
	return listing;
}

void
record_listing(int connector_id, const Listing &listing)
{
	run_alone("INSERT INTO livesync.listing (connector_id, source_schema, source_name, state, "
			  "target_schema, target_name, copy_data, hypertable_column, chunk_interval) "
			  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::pg_catalog.interval) "
			  "ON CONFLICT (connector_id, source_schema, source_name) DO UPDATE SET "
			  "state = excluded.state, target_schema = excluded.target_schema, "
			  "target_name = excluded.target_name, copy_data = excluded.copy_data, "
			  "hypertable_column = excluded.hypertable_column, "
			  "chunk_interval = excluded.chunk_interval, "
			  "wanted_at = pg_catalog.clock_timestamp()",
			  {int_value(connector_id), text_value(listing.schema), text_value(listing.name),
			   text_value(word_of(listing.state)), text_value(listing.target_schema),
			   text_value(listing.target_name), bool_value(listing.copy_data),
			   text_value(listing.hypertable_column), text_value(listing.chunk_interval)});
}

namespace
{

/* Who calls holds a row until the end of a transaction that may be long: workers do not wait for it. */
#define FREE_ROW                                                                                   \
	"WHERE (connector_id, source_schema, source_name) IN (SELECT connector_id, source_schema, "    \
	"source_name FROM livesync.listing WHERE connector_id = $1 AND source_schema = $2 "            \
	"AND source_name = $3 AND state = $4 FOR UPDATE SKIP LOCKED)"

} // namespace

bool
try_set_listing_state(int connector_id, const Listing *listing, ListingState next)
{
	return run_alone("UPDATE livesync.listing SET state = $5, "
					 "wanted_at = pg_catalog.clock_timestamp() " FREE_ROW,
					 {int_value(connector_id), text_value(listing->schema),
					  text_value(listing->name), text_value(word_of(listing->state)),
					  text_value(word_of(next))}) == 1;
}

bool
try_forget_listing(int connector_id, const Listing *listing)
{
	return run_alone("DELETE FROM livesync.listing " FREE_ROW,
					 {int_value(connector_id), text_value(listing->schema),
					  text_value(listing->name), text_value(word_of(listing->state))}) == 1;
}

} // namespace state
