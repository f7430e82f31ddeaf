/*
 * worker/indexes.cpp
 *
 * See indexes.hpp.
 *
 * Rows of different moments meet in a table that was loaded.  The key's index is built over them after all rows but one of
 * each key are gone: whichever stays, the spool brings the key to its last state.  For other unique indexes no such rule
 * could choose, so they wait until the spool is empty and the rows are those of one moment.
 */
#include "worker/indexes.hpp"

#include "base/failpoint.hpp"
#include "base/names.hpp"
#include "base/settings.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "state/pending_index.hpp"
#include "target/index_creation.hpp"
#include "target/repeated_keys.hpp"
#include "worker/drain.hpp"
#include "worker/failure.hpp"
#include "worker/registry.hpp"
#include "worker/repeated_rows.hpp"
#include "worker/routes.hpp"

namespace worker
{
namespace
{

constexpr int kIndexLockMs = 1000;

struct IndexJob
{
	const char *connector;
	const state::SyncedTable *table;
	const state::PendingIndex *index;
	char *name;
	bool is_needless;
};

target::NewIndex
describe(const IndexJob *job)
{
	return target::NewIndex{
		job->table->target_schema, job->table->target_name, job->name,
		job->index->definition,	   job->index->constraint,	job->index->is_deferrable,
		job->index->is_deferred};
}

void
build_step(void *argument)
{
	IndexJob *job = (IndexJob *) argument;

	job->name = job->index->name;
	job->name = target::build_index(describe(job));
}

void
constraint_step(void *argument)
{
	target::add_constraint(describe((IndexJob *) argument));
}

/* Somebody may have made one meanwhile. */
void
build_key_step(void *argument)
{
	IndexJob *job = (IndexJob *) argument;
	target::TargetRelation *target = open_recorded_target(job->table, CurrentMemoryContext);

	job->is_needless = target->has_key_index;
	target::close_target(target);
	if (!job->is_needless)
		build_step(argument);
}

void
remove_repeated_step(void *argument)
{
	IndexJob *job = (IndexJob *) argument;

	base::failpoint("key_index_again", state::source_table_name(job->table));
	target::TargetRelation *target = open_recorded_target(job->table, CurrentMemoryContext);

	(void) target::remove_repeated_keys(target);
	target::close_target(target);
	build_step(argument);
}

void
show_building(const state::SyncedTable *table, const state::PendingIndex *index)
{
	char *text = psprintf("building index %s", index->name);

	set_table_wait(table->id, nullptr);
	set_copy_activity(table->id, 0, text);
	pgstat_report_activity(
		STATE_RUNNING, psprintf("livesync copy of %s, %s", state::source_table_name(table), text));
}

/* An index that cannot be here is no reason to do without the table. */
void
tell_skipped(const IndexJob *job, const ErrorData *error)
{
	const char *table = state::source_table_name(job->table);
	char *why = psprintf("index \"%s\": %s", job->index->name, describe_error(error));

	state::record_event(job->connector, table, "index_skipped", why);
	ereport(WARNING,
			(errmsg("connector \"%s\": table \"%s\" goes without %s", job->connector, table, why)));
}

/* The index is there.  Its constraint needs the table for itself; if that is not to be had it comes later. */
void
finish_index(IndexJob *job)
{
	ErrorData *error = nullptr;

	if (!job->is_needless && target::needs_constraint(describe(job)))
		error = base::run_limited(constraint_step, job, kIndexLockMs);
	if (error != nullptr && base::is_lock_timeout(error))
	{
		state::record_built(*job->index, job->name);
		return;
	}
	if (error != nullptr)
		tell_skipped(job, error);
	state::remove_pending_index(*job->index);
}

/* The one by which rows are found while catching up. */
bool
is_key_index(const state::SyncedTable *table, const source::SourceIndex &index)
{
	return index.is_unique && index.is_plain && table->nkey_columns > 0 &&
		   index.nkey == table->nkey_columns &&
		   base::are_among(table->nkey_columns, table->key_columns, index.nkey, index.key);
}

/* A hypertable has its primary key from the start, and knows no constraint that takes an index over. */
bool
is_wanted(const state::SyncedTable *table, const source::SourceIndex &index, bool is_key)
{
	if (table->hypertable_column != nullptr && (index.is_primary || index.constraint == 'x'))
		return false;
	return is_key || index.is_primary || base::settings::create_indexes;
}

} // namespace

void
note_indexes(const state::Connector *config, const state::SyncedTable *table,
			 source::Connection *control)
{
	source::SourceIndexes from = source::read_indexes(control, table->source_oid);
	bool has_key = false;

	state::forget_pending_indexes(table->id);
	for (int i = 0; i < from.count; i++)
	{
		const source::SourceIndex &it = from.indexes[i];
		bool is_key = !has_key && is_key_index(table, it);

		if (!is_wanted(table, it, is_key))
			continue;
		if (!base::are_among(it.ncolumns, it.columns, table->ncolumns, table->columns))
		{
			state::record_event(
				config->name, state::source_table_name(table), "index_skipped",
				psprintf("index \"%s\" has columns that are not published", it.name));
			continue;
		}
		has_key |= is_key;
		state::add_pending_index(state::PendingIndex{
			table->id, i + 1, it.name, it.definition,
			table->hypertable_column != nullptr ? '\0' : it.constraint, it.is_deferrable,
			it.is_deferred, is_key, it.is_unique || it.constraint == 'x', false});
	}
}

void
note_indexes_again(const state::Connector *config, const state::SyncedTable *table,
				   source::Connection *control)
{
	if (state::has_unbuilt_index(table->id) &&
		!target::has_indexes(table->target_schema, table->target_name))
		note_indexes(config, table, control);
}

void
build_noted_indexes(const state::Connector *config, const state::SyncedTable *table)
{
	state::PendingIndex *index;

	while ((index = state::next_pending_index(table->id)) != nullptr && !index->is_built)
	{
		IndexJob job{config->name, table, index, nullptr, false};
		ErrorData *error = base::run_limited(build_step, &job, kIndexLockMs);

		if (error == nullptr)
			finish_index(&job);
		else
		{
			tell_skipped(&job, error);
			state::remove_pending_index(*index);
		}
	}
}

KeyIndex
ensure_key_index(const Copier *copier, const state::SyncedTable *table)
{
	state::PendingIndex *index = state::find_key_index(table->id);

	if (index == nullptr)
		return KeyIndex::ready;

	IndexJob job{copier->config->name, table, index, nullptr, false};
	const char *name = state::source_table_name(table);

	if (may_have_repeated_rows(table) && !has_spooled_load(table))
	{
		set_table_wait(table->id, "the stream to pass the end of the load");
		return KeyIndex::later;
	}
	show_building(table, index);
	base::failpoint("key_index_wanted", name);
	if (may_have_repeated_rows(table))
		remove_repeated_rows(table);
	ErrorData *error = base::run_limited(build_key_step, &job, kIndexLockMs);

	/* under one snapshot no row comes twice: then it is an error */
	if (error != nullptr && error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION &&
		table->mode == state::CopyMode::keyed)
		error = base::run_limited(remove_repeated_step, &job, kIndexLockMs);
	if (error == nullptr)
		finish_index(&job);
	if (error == nullptr)
	{
		base::failpoint("key_index_built", name);
		return KeyIndex::ready;
	}
	if (base::is_lock_timeout(error))
	{
		set_table_wait(table->id, describe_lock_wait(error, table, ShareLock));
		return KeyIndex::later;
	}
	if (table->hypertable_column != nullptr)
	{
		/* it has one that contains its time */
		tell_skipped(&job, error);
		state::remove_pending_index(*index);
		return KeyIndex::ready;
	}
	AbortCurrentTransaction();
	base::begin_transaction();
	mark_table_failed(copier->config->name, table->id, name, error, wire::kInvalidLsn);
	return KeyIndex::failed;
}

namespace
{

/* True: commit. */
bool
build_claimed(const Copier *copier, const state::SyncedTable *table,
			  const state::PendingIndex *index)
{
	IndexJob job{copier->config->name, table, index, index->name, false};
	const char *name = state::source_table_name(table);
	ErrorData *error = nullptr;

	show_building(table, index);
	base::failpoint("index_wanted", name);
	if (!index->is_built)
		error = base::run_limited(build_step, &job, kIndexLockMs);
	if (error == nullptr)
		finish_index(&job);
	set_copy_activity(0, 0, nullptr);
	if (error != nullptr && base::is_lock_timeout(error))
	{
		set_table_wait(table->id, describe_lock_wait(error, table, ShareLock));
		return false;
	}
	if (error != nullptr)
	{
		tell_skipped(&job, error);
		state::remove_pending_index(*index);
	}
	base::failpoint("index_built", name);
	return true;
}

/*
 * The spool, committed up to the end of some source transaction that is not before `applied`, is replayed whole.  Then the rows
 * are those that the source had there, unless one was fetched from a later moment: that moves end_lsn.  False: roll back.
 */
bool
try_settle_rows(const Copier *copier, state::SyncedTable **table, XLogRecPtr applied,
				bool *is_settled)
{
	if (!drain_locked(copier, *table, 0))
		return false;
	*table = state::load_table((*table)->id, state::RowLock::none);
	*is_settled = (*table)->state == state::TableState::catching_up && (*table)->end_lsn <= applied;
	return true;
}

/* True: commit. */
bool
build_one(const Copier *copier, XLogRecPtr applied)
{
	state::PendingIndex *index =
		state::claim_pending_index(copier->config->id, applied, kTailChanges);

	if (index == nullptr)
		return false;

	bool is_settled = !index->is_unique || index->is_built;
	state::SyncedTable *table = state::load_table(
		index->table_id, is_settled ? state::RowLock::try_share : state::RowLock::try_update);

	if (table == nullptr || table->wish != state::Wish::none ||
		(table->state != state::TableState::catching_up && !index->is_built))
		return false;
	if (!is_settled)
	{
		set_copy_activity(table->id, 0, "catching up");
		bool keep = try_settle_rows(copier, &table, applied, &is_settled);

		set_copy_activity(0, 0, nullptr);
		if (!keep)
			return false;
	}
	return !is_settled || build_claimed(copier, table, index);
}

} // namespace

bool
build_one_index(Copier *copier)
{
	/* before the snapshot: what was applied then has its spool committed */
	XLogRecPtr applied = my_entry()->applied;
	MemoryContext before = begin_piece(copier);
	bool keep = build_one(copier, applied);

	return end_piece(before, keep);
}

} // namespace worker
