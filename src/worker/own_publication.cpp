/*
 * worker/own_publication.cpp
 *
 * Tables that calls want in the connector's own publication, or out of it.  See connector.hpp.
 *
 * The order, so that a crash at any moment is mended by doing it again: first the source, then our record.  The record
 * has two places: the state of the listing, and what the publication is made of, should it have to be made again.
 */
#include "worker/connector.hpp"

#include "base/failpoint.hpp"
#include "base/table_name.hpp"
#include "base/transaction.hpp"
#include "source/slot.hpp"
#include "state/event.hpp"
#include "state/listing.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

bool
is_same_table(const char *wanted, const state::Listing *listing)
{
	base::TableName name = base::parse_table_name(wanted);

	return !name.every && strcmp(name.schema, listing->schema) == 0 &&
		   strcmp(name.name, listing->name) == 0;
}

/* False: a call holds the connector's row, it is tried again. */
bool
try_record_member(const ConnectorWorker *worker, const state::Listing *listing, bool is_member)
{
	/* as it is now: a listing before this one may have changed it */
	const state::Connector *connector = state::load_connector(worker->config->id);

	/* every table there is */
	if (connector == nullptr || connector->nwanted_tables == 0)
		return true;

	char **tables = (char **) palloc(sizeof(char *) * (connector->nwanted_tables + 1));
	int count = 0;

	for (int i = 0; i < connector->nwanted_tables; i++)
		if (!is_same_table(connector->wanted_tables[i], listing))
			tables[count++] = connector->wanted_tables[i];
	if (is_member)
		tables[count++] = quote_qualified_identifier(listing->schema, listing->name);
	/* one that is left out may stay in the publication */
	return count == 0 || state::try_record_wanted_tables(connector, count, tables);
}

void
give_up(ConnectorWorker *worker, const state::Listing *listing, const char *name, const char *why)
{
	bool is_added = listing->state == state::ListingState::publish;

	if (is_added ? state::try_forget_listing(worker->config->id, listing)
				 : state::try_set_listing_state(worker->config->id, listing,
												state::ListingState::left_out))
		state::record_event(worker->config->name, name,
							is_added ? "table_not_added" : "table_not_withdrawn", why);
}

/* False: a lock is in the way, or another transaction. */
bool
try_alter(ConnectorWorker *worker, const state::Listing *listing, const char *name, char **refused)
{
	const state::Connector *config = worker->config;
	bool is_added = listing->state == state::ListingState::publish;

	if (!state::uses_own_publication(config))
	{
		if (is_added)
			*refused = pstrdup("The connector does not use its own publication any more.");
		return !is_added;
	}
	if (is_added ? source::try_publish_table(worker->control, config->own_publication,
											 listing->schema, listing->name, refused)
				 : source::try_withdraw_table(worker->control, config->own_publication,
											  listing->schema, listing->name, refused))
		return true;
	if (*refused == nullptr)
	{
		set_waiting_for(psprintf("a lock on %s at the source, to alter the publication", name));
		worker->waits_to_alter = true;
	}
	return false;
}

void
settle(ConnectorWorker *worker, const state::Listing *listing)
{
	const char *name = psprintf("%s.%s", listing->schema, listing->name);
	bool is_added = listing->state == state::ListingState::publish;
	char *refused = nullptr;

	if (try_alter(worker, listing, name, &refused))
	{
		base::failpoint("publication_altered", name);
		if (try_record_member(worker, listing, is_added))
			(void) state::try_set_listing_state(worker->config->id, listing,
												is_added ? state::ListingState::add
														 : state::ListingState::left_out);
	}
	else if (refused != nullptr)
		give_up(worker, listing, name, refused);
}

} // namespace

void
alter_own_publication(ConnectorWorker *worker)
{
	base::begin_transaction();
	MemoryContext old = MemoryContextSwitchTo(worker->turn);
	state::Listings listings = state::load_listings(worker->config->id);

	MemoryContextSwitchTo(old);
	base::commit_transaction();
	if (worker->waits_to_alter)
		set_waiting_for(nullptr);
	worker->waits_to_alter = false;
	for (int i = 0; i < listings.count; i++)
	{
		const state::Listing *listing = &listings.rows[i];

		if (listing->state != state::ListingState::publish &&
			listing->state != state::ListingState::withdraw)
			continue;
		base::begin_transaction();
		MemoryContextSwitchTo(worker->turn);
		settle(worker, listing);
		base::commit_transaction();
	}
	MemoryContextSwitchTo(worker->turn);
}

} // namespace worker
