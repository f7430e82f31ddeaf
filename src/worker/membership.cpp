/*
 * worker/membership.cpp
 *
 * Which tables are synced: the publications of the source, looked at regularly, against what is
 * recorded here.  See connector.hpp.
 *
 *   in the publication, not recorded   added, queued; when the slot already streams, writers from before must end first
 *   recorded, not in the publication   released: its row goes, its data stays
 *   published otherwise than recorded  copied again: changes may have been missed in between
 *   another table under the name       copied again
 *
 * A paused table is left as it is until it is resumed: what must be copied again is found again then.
 */
#include "worker/connector.hpp"

#include "base/settings.hpp"
#include "base/transaction.hpp"
#include "source/slot.hpp"
#include "state/event.hpp"
#include "worker/listing.hpp"
#include "worker/registry.hpp"
#include "worker/slot_health.hpp"

namespace worker
{
namespace
{

const source::PublishedTable *
find_published(const source::PublishedTables &published, const char *schema, const char *name)
{
	for (int i = 0; i < published.count; i++)
		if (strcmp(published.tables[i].schema, schema) == 0 &&
			strcmp(published.tables[i].name, name) == 0)
			return &published.tables[i];
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

void
release_table(ConnectorWorker *worker, const state::SyncedTable *table)
{
	stop_copies(table->id);
	/* waits for the row locks of what was stopped */
	(void) state::load_table(table->id, state::RowLock::update);
	state::release_table(table->id);
	set_table_wait(table->id, nullptr);
	state::record_event(worker->config->name, state::source_table_name(table), "table_released",
						"The table left the publication; its data stays.");
	worker->tables_changed = true;
}

void
republish_table(ConnectorWorker *worker, const state::SyncedTable *table,
				const source::PublishedTable &published)
{
	stop_copies(table->id);
	(void) state::load_table(table->id, state::RowLock::update);
	state::record_publication(table->id, describe_publication(published), true);
	state::record_event(worker->config->name, state::source_table_name(table), "table_restarted",
						table->source_oid != published.oid
							? "Another table has the name at the source; it is copied again."
							: "The source publishes the table in another way; it is copied again.");
	worker->tables_changed = true;
}

void
reconcile(ConnectorWorker *worker, const source::PublishedTables &published)
{
	state::SyncedTables recorded = state::load_tables(worker->config->id);
	bool *is_recorded = (bool *) palloc0(sizeof(bool) * (published.count + 1));

	for (int i = 0; i < recorded.count; i++)
	{
		const state::SyncedTable *table = recorded.tables[i];
		const source::PublishedTable *match =
			find_published(published, table->source_schema, table->source_name);

		if (match == nullptr)
		{
			release_table(worker, table);
			continue;
		}
		is_recorded[match - published.tables] = true;
		if (is_published_otherwise(table, *match))
		{
			if (table->state != state::TableState::paused)
				republish_table(worker, table, *match);
		}
		else if (strcmp(table->fingerprint, match->fingerprint) != 0)
		{
			state::record_publication(table->id, describe_publication(*match), false);
			worker->tables_changed = true;
		}
	}
	for (int i = 0; i < published.count; i++)
		if (!is_recorded[i])
		{
			list_table(worker->config, published.tables[i],
					   worker->config->is_listed ? state::Phase::publish_gate : state::Phase::none);
			worker->tables_changed = true;
		}
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
	worker->polled_request = my_entry()->refresh_wanted;
	source::start_query(worker->control,
						source::published_tables_sql(worker->control, worker->config->npublications,
													 worker->config->publications));
	worker->is_polling = true;
}

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
	source::PublishedTables published = source::read_published_tables(result);

	reconcile(worker, published);
	note_slot(worker, published);
	base::commit_transaction();
	worker->poll_at =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), base::settings::poll_interval_ms);
	my_entry()->refresh_done = worker->polled_request;
}

} // namespace worker
