/*
 * worker/membership.cpp
 *
 * Which tables are synced: the publications of the source, looked at regularly, against what is
 * recorded here.  See connector.hpp.
 *
 *   in the publication, not recorded   added, queued; when the slot already streams, writers from before must end first
 *   recorded, not in the publication   released: its data stays
 *   in the publication, but left out   released, or not recorded at all
 *   recorded, and a call adds it anew  released and recorded anew, perhaps with another target
 *   published otherwise than recorded  copied again: changes may have been missed in between
 *   another table under the name       copied again
 *   other partitions than recorded     copied again when one brought rows, see partitions.hpp
 *   columns that are not what they were  copied again, see columns.hpp
 *   a partition with another identity  failed, see partition_identity.hpp
 *
 * A paused table is left as it is until it is resumed: what must be copied again is found again then.
 */
#include "worker/connector.hpp"

#include "base/settings.hpp"
#include "base/transaction.hpp"
#include "source/slot.hpp"
#include "source/waiting.hpp"
#include "state/event.hpp"
#include "state/shape.hpp"
#include "worker/altered_publication.hpp"
#include "worker/columns.hpp"
#include "worker/left_indexes.hpp"
#include "worker/listing.hpp"
#include "worker/partition_identity.hpp"
#include "worker/partitions.hpp"
#include "worker/registry.hpp"
#include "worker/resync.hpp"
#include "worker/slot_health.hpp"

namespace worker
{
namespace
{

constexpr int kPollLockMs = 200;

const source::PublishedTable *
find_published(const source::PublishedTables &published, const char *schema, const char *name)
{
	/* they come ordered, and there may be thousands */
	int low = 0;
	int high = published.count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;
		const source::PublishedTable *table = &published.tables[middle];
		int order = strcmp(schema, table->schema);

		if (order == 0)
			order = strcmp(name, table->name);
		if (order == 0)
			return table;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return nullptr;
}

/*
 * A fingerprint is "membership:columns".  Another membership may have hidden changes for a while; columns that came or
 * went are told by the stream itself, once the table streams.
 */
bool
is_published_otherwise(const state::SyncedTable *recorded, const source::PublishedTable &published)
{
	size_t membership = strcspn(published.fingerprint, ":");
	bool has_streamed = recorded->state == state::TableState::streaming ||
						recorded->came_from == state::TableState::streaming ||
						recorded->parked_lsn != InvalidXLogRecPtr;

	if (recorded->source_oid != published.oid)
		return true;
	/* one that failed in the middle of its copy would get the new columns for the rest of its chunks only */
	if (has_streamed)
		return strncmp(recorded->fingerprint, published.fingerprint, membership) != 0;
	return strcmp(recorded->fingerprint, published.fingerprint) != 0;
}

/*
 * The table's row, from copy workers that hold it.  They are stopped in whatever they do: replaying a long spool or building an
 * index takes minutes, and nothing is received meanwhile.  One that has just taken the row says so a moment later, so it is
 * looked for again until the row is free.
 */
void
take_from_copies(int64 table_id)
{
	constexpr long kPauseMs = 20;

	for (stop_copies(table_id); state::load_table(table_id, state::RowLock::try_update) == nullptr;
		 stop_copies(table_id))
	{
		if (state::load_table(table_id, state::RowLock::none) == nullptr)
			return;
		source::pause_ms(kPauseMs);
	}
}

void
release_table(ConnectorWorker *worker, const state::SyncedTable *table, const char *why)
{
	cancel_resync(worker->config, table);
	take_from_copies(table->id);
	settle_left_indexes(worker->config->name, table);
	state::release_table(table->id);
	set_table_wait(table->id, nullptr);
	state::record_event(worker->config->name, state::source_table_name(table), "table_released",
						why);
	worker->tables_changed = true;
}

void
republish_table(ConnectorWorker *worker, const state::SyncedTable *table,
				const source::PublishedTable &published)
{
	cancel_resync(worker->config, table);
	take_from_copies(table->id);
	state::record_publication(table->id, describe_publication(published), true);
	state::record_event(worker->config->name, state::source_table_name(table), "table_restarted",
						table->source_oid != published.oid
							? "Another table has the name at the source; it is copied again."
							: "The source publishes the table in another way; it is copied again.");
	worker->tables_changed = true;
}

const state::Listing *
find_listing(const state::Listings &listings, const char *schema, const char *name)
{
	for (int i = 0; i < listings.count; i++)
		if (strcmp(listings.rows[i].schema, schema) == 0 &&
			strcmp(listings.rows[i].name, name) == 0)
			return &listings.rows[i];
	return nullptr;
}

/* True: it stays a synced table. */
bool
keep_recorded(ConnectorWorker *worker, const state::SyncedTable *table,
			  const source::PublishedTable *match, const state::Listing *listing)
{
	if (match == nullptr)
		release_table(worker, table, "The table left the publication; its data stays.");
	else if (state::is_left_out(listing))
		release_table(worker, table, "The table is not synced any more; its data stays.");
	else if (listing != nullptr && listing->state == state::ListingState::add)
		release_table(worker, table, "The table is added anew.");
	else
		return true;
	return false;
}

void
compare_recorded(ConnectorWorker *worker, const state::SyncedTable *table,
				 const source::PublishedTable &match)
{
	if (is_published_otherwise(table, match))
	{
		if (table->state != state::TableState::paused)
			republish_table(worker, table, match);
	}
	else if (strcmp(table->fingerprint, match.fingerprint) != 0)
	{
		bool was_copied_again = cancel_resync(worker->config, table);

		state::record_publication(table->id, describe_publication(match), false);
		/* with the columns of now */
		if (was_copied_again)
			(void) state::add_shadow(table->id);
		worker->tables_changed = true;
	}
	else
		follow_partitions(worker, table, match);
}

void
list_new_table(ConnectorWorker *worker, const source::PublishedTable &published,
			   const state::Listing *listing)
{
	if (state::is_left_out(listing))
		return;
	/* a call is just changing its mind: next time */
	if (listing != nullptr && listing->state != state::ListingState::listed &&
		!state::try_set_listing_state(worker->config->id, listing, state::ListingState::listed))
		return;
	list_table(worker->config, published, listing,
			   worker->config->is_listed ? state::Phase::publish_gate : state::Phase::none);
	worker->tables_changed = true;
}

/* It was published when the call looked, and is not since. */
void
give_up_listing(ConnectorWorker *worker, const state::Listing *listing)
{
	if (listing->state == state::ListingState::add && listing->wanted_at < worker->polled_at &&
		state::try_forget_listing(worker->config->id, listing))
		state::record_event(worker->config->name, psprintf("%s.%s", listing->schema, listing->name),
							"table_not_added",
							"The source does not publish it under its own name.");
}

/* Rows that are written anew while the columns stay (VACUUM FULL, CLUSTER) are the same rows. */
void
note_storage(const state::SyncedTable *table, const source::PublishedTable &published)
{
	/* nobody else holds the row of a table that streams: a loader would keep us waiting */
	if (table->state == state::TableState::streaming && table->storage != nullptr &&
		published.storage != nullptr && strcmp(table->storage, published.storage) != 0)
		state::record_storage(table->id, published.columns_count, published.columns,
							  published.storage);
}

void
reconcile(ConnectorWorker *worker, const source::PublishedTables &published)
{
	state::SyncedTables recorded = state::load_tables(worker->config->id);
	state::Listings listings = state::load_listings(worker->config->id);
	bool *is_recorded = (bool *) palloc0(sizeof(bool) * (published.count + 1));

	for (int i = 0; i < recorded.count; i++)
	{
		const state::SyncedTable *table = recorded.tables[i];

		/* it goes with its table */
		if (table->shadow_of != 0)
			continue;
		const source::PublishedTable *match =
			find_published(published, table->source_schema, table->source_name);

		if (!keep_recorded(worker, table, match,
						   find_listing(listings, table->source_schema, table->source_name)))
			continue;
		is_recorded[match - published.tables] = true;
		compare_recorded(worker, table, *match);
		note_storage(table, *match);
	}
	for (int i = 0; i < published.count; i++)
		if (!is_recorded[i])
			list_new_table(
				worker, published.tables[i],
				find_listing(listings, published.tables[i].schema, published.tables[i].name));
	for (int i = 0; i < listings.count; i++)
		if (find_published(published, listings.rows[i].schema, listings.rows[i].name) == nullptr)
			give_up_listing(worker, &listings.rows[i]);
	if (!worker->config->is_listed)
	{
		state::record_listed(worker->config->id);
		worker->config->is_listed = true;
	}
}

void
note_slot(ConnectorWorker *worker, const source::PublishedTables &published)
{
	my_entry()->source = Max(published.insert_lsn, worker->received);
	watch_slot(worker->config, source::read_slot(worker->control, worker->config->slot_name));
}

} // namespace

void
poll_source(ConnectorWorker *worker)
{
	if (worker->is_polling)
		return;
	alter_own_publication(worker);
	worker->polled_at = GetCurrentTimestamp();
	worker->polled_request = my_entry()->refresh_wanted;
	const char *sql = source::published_tables_sql(worker->control, worker->config->npublications,
												   worker->config->publications);

	/* a filter is read under its table's lock; what else needs this connection would wait, too */
	source::start_query(worker->control, source::limit_lock_wait(sql, kPollLockMs));
	worker->is_polling = true;
}

namespace
{

TimestampTz
next_poll()
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), base::settings::poll_interval_ms);
}

} // namespace

void
finish_poll(ConnectorWorker *worker)
{
	if (!worker->is_polling)
		return;
	base::begin_transaction();
	PGresult *result = source::poll_query(worker->control);

	if (result == nullptr)
	{
		base::commit_transaction();
		return;
	}
	worker->is_polling = false;
	if (strcmp(source::result_sqlstate(result), "55P03") == 0)
	{
		base::commit_transaction();
		worker->poll_at = next_poll();
		return;
	}
	source::PublishedTables published = source::read_published_tables(result);

	reconcile(worker, published);
	follow_columns(worker, published);
	follow_partition_identities(worker, published);
	watch_publications(worker);
	note_slot(worker, published);
	base::commit_transaction();
	worker->poll_at = next_poll();
	my_entry()->refresh_done = worker->polled_request;
}

} // namespace worker
