/*
 * worker/load.cpp
 *
 * One chunk: from the source's COPY into the target's, with its ledger entry in the same transaction.
 * See copier.hpp.
 *
 * The local transaction holds the table's row FOR SHARE with the generation checked, so nobody can
 * start the table over, or let it stream, while rows of an older look are under way.  It commits only when the source has
 * flushed what the chunk saw: a crash of a source with asynchronous commits must not leave rows here that never were.
 *
 * Surprising: a row can come twice, when an update moved it between two chunks.  The second chunk then meets the key's index and
 * is read again, row by row, as upserts; which version wins does not matter, the spool has the last word.
 */
#include "worker/copier.hpp"

#include "base/failpoint.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "worker/failure.hpp"
#include "worker/load_rows.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

/* Do rows that come twice meet an index here, and may they? */
bool
can_upsert(const Load *load)
{
	return load->table->mode == state::CopyMode::keyed && load->target != nullptr;
}

ErrorData *
load_rows_once_or_twice(Load *load)
{
	ErrorData *error = base::run_in_subtransaction(load_rows, load);

	if (error == nullptr)
		return nullptr;
	source::abandon_chunk(load->copier->connection);
	if ((error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION &&
		 error->sqlerrcode != ERRCODE_EXCLUSION_VIOLATION) ||
		load->as_upserts || !can_upsert(load))
		return error;
	load->as_upserts = true;
	load->target = nullptr;
	error = base::run_in_subtransaction(load_rows, load);
	if (error != nullptr)
		source::abandon_chunk(load->copier->connection);
	return error;
}

const char *
why_restart(source::ChunkCheck check)
{
	switch (check)
	{
		case source::ChunkCheck::ready:
			break;
		case source::ChunkCheck::rewritten:
			return "The source rewrote the table (VACUUM FULL, CLUSTER, ALTER TABLE, TRUNCATE).";
		case source::ChunkCheck::republished:
			return "The source publishes the table in another way.";
		case source::ChunkCheck::snapshot_lost:
			return "The snapshot of the copy was lost with its connection.";
		case source::ChunkCheck::lock_wanted:
			return "Somebody at the source waits to lock the table exclusively, and the copy gave way.";
	}
	return "";
}

/* Not what a constraint says, and not what passes. */
bool
may_be_the_form(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION || category == ERRCODE_INTERNAL_ERROR ||
		   error->sqlerrcode == ERRCODE_DATATYPE_MISMATCH;
}

/* The chunk is taken again, and what fails in text form as well fails the table. */
void
go_on_as_text(const Copier *copier, const state::Chunk *chunk, const char *name,
			  const ErrorData *error)
{
	AbortCurrentTransaction();
	base::begin_transaction();
	state::SyncedTable *table = state::load_table(chunk->table_id, state::RowLock::update);

	/* of several workers the first */
	if (table != nullptr && table->generation == chunk->generation &&
		table->state == state::TableState::copying && state::copy_as_text(table->id))
		state::record_event(copier->config->name, name, "copy_in_text", describe_error(error));
	base::commit_transaction();
}

void
fail_load(const Copier *copier, const state::Chunk *chunk, const char *name, const ErrorData *error)
{
	AbortCurrentTransaction();
	base::begin_transaction();
	state::SyncedTable *table = state::load_table(chunk->table_id, state::RowLock::update);

	if (table != nullptr && table->generation == chunk->generation &&
		table->state == state::TableState::copying)
		mark_table_failed(copier->config->name, table->id, name, error, wire::kInvalidLsn);
	base::commit_transaction();
	wake_connector();
}

void
restart_after(const Copier *copier, const state::Chunk *chunk, source::ChunkCheck check)
{
	AbortCurrentTransaction();
	base::begin_transaction();
	state::SyncedTable *table = state::load_table(chunk->table_id, state::RowLock::update);

	if (table != nullptr && table->generation == chunk->generation &&
		table->state == state::TableState::copying)
		restart_table(copier, table, why_restart(check));
	base::commit_transaction();
	wake_connector();
}

} // namespace

void
restart_table(const Copier *copier, const state::SyncedTable *table, const char *why)
{
	state::restart_copy(table->id, true);
	state::record_event(copier->config->name, state::source_table_name(table), "table_restarted",
						why);
}

bool
load_one_chunk(Copier *copier)
{
	MemoryContext old = MemoryContextSwitchTo(copier->turn);

	base::begin_transaction();
	MemoryContextSwitchTo(copier->turn);
	state::Chunk *chunk = state::claim_chunk(copier->config->id, 0);
	state::SyncedTable *table =
		chunk ? state::load_table(chunk->table_id, state::RowLock::share) : nullptr;

	if (table == nullptr || table->generation != chunk->generation ||
		table->state != state::TableState::copying)
	{
		AbortCurrentTransaction();
		MemoryContextSwitchTo(old);
		return false;
	}

	char *name = state::source_table_name(table);
	Load load{copier,
			  chunk,
			  table,
			  nullptr,
			  {},
			  source::ChunkCheck::ready,
			  table->load_upserts && table->mode == state::CopyMode::keyed,
			  false,
			  false,
			  {},
			  false};

	set_copy_activity(table->id, chunk->number, "loading");
	pgstat_report_activity(STATE_RUNNING,
						   psprintf("livesync copy of %s, chunk %d", name, chunk->number));
	ErrorData *error = load_rows_once_or_twice(&load);

	if (error != nullptr && table->exported != nullptr && base::is_lock_timeout(error))
		restart_after(copier, chunk, source::ChunkCheck::lock_wanted);
	else if (error != nullptr && load.as_binary && may_be_the_form(error))
		go_on_as_text(copier, chunk, name, error);
	else if (error != nullptr)
		fail_load(copier, chunk, name, error);
	else if (load.check != source::ChunkCheck::ready)
		restart_after(copier, chunk, load.check);
	else
	{
		wire::Lsn read = source::wait_source_flushed(copier->connection);

		state::finish_chunk(*chunk, (int64) load.result.rows, (int64) load.result.bytes, read);
		base::failpoint("chunk_loaded", name);
		/* last, since all the others do so too */
		if (my_entry()->copy_failures > 0)
			state::clear_connector_error(copier->config->id);
		base::commit_transaction();
		note_copy_success();
		base::failpoint("chunk_committed", name);
	}
	set_copy_activity(0, 0, nullptr);
	if (load.is_paced)
		set_table_wait(chunk->table_id, nullptr);
	MemoryContextSwitchTo(old);
	return true;
}

} // namespace worker
