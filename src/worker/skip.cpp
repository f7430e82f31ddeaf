/*
 * worker/skip.cpp
 *
 * Drops the one change that makes a table fail, when a call asks for it.  See copier.hpp.
 *
 *   replay the spool, roll it back ──► the first change that fails alone ──► taken out of its segment
 *
 * The replay is only to find it: what came before stays in the spool, is applied by who drains it next, and so meets no
 * special case.  A failure of the stream is found here too, because the stream came again and its changes are in the spool.
 *
 * Surprising: a change that fails with another error than the one on record is left alone.  Who asked has not seen that one.
 */
#include "worker/copier.hpp"

#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "state/spool.hpp"
#include "state/stats.hpp"
#include "worker/drain.hpp"
#include "worker/failure.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

constexpr int kFindLockMs = 1000;

struct FindJob
{
	Drain drain;
	DrainResult result;
	bool is_over; /* to its end, without an error that no change is to blame for */
};

void
find_step(void *argument)
{
	FindJob *job = (FindJob *) argument;

	job->result = drain_spool(&job->drain);
	job->is_over = true;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg_internal("rolled back on purpose")));
}

/* The changes since it failed are all received again? */
bool
is_spooled(const state::SyncedTable *table)
{
	return table->parked_lsn < my_entry()->applied;
}

const char *
describe_change(const state::SyncedTable *table, const SpoolPlace &place)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%s of the source transaction that committed at %X/%X",
					 wire::describe(place.kind), (uint32) (place.lsn >> 32), (uint32) place.lsn);
	for (int i = 0; i < table->nkey_columns; i++)
		appendStringInfo(&text, "%s%s", i == 0 ? "; key columns: " : ", ", table->key_columns[i]);
	return text.data;
}

void
end_wish(const Copier *copier, const state::SyncedTable *table, const char *event,
		 const char *detail)
{
	(void) state::cancel_wish(table->id, state::Wish::skip);
	(void) state::leave_failed(table->id);
	state::record_event(copier->config->name, state::source_table_name(table), event, detail);
}

/* True: commit. */
bool
skip_locked(const Copier *copier, const state::SyncedTable *table)
{
	FindJob job{};

	job.drain.table = table;
	job.drain.connector = copier->config->name;
	job.drain.control = copier->connection;
	job.drain.finds_failing = true;
	ErrorData *error = base::run_limited(find_step, &job, kFindLockMs);

	if (job.is_over)
		error = job.result == DrainResult::failed || job.result == DrainResult::stopped
					? job.drain.failure.error
					: nullptr;
	if (error != nullptr && base::is_lock_timeout(error))
	{
		set_table_wait(table->id, describe_lock_wait(error, table, RowExclusiveLock));
		return false;
	}
	if (error == nullptr && (job.result == DrainResult::again_later || !is_spooled(table)))
		return false;
	if (error == nullptr)
		end_wish(copier, table, "change_not_skipped", "No change fails any more.");
	else if (job.drain.failing.segment == 0 || table->last_error == nullptr ||
			 strcmp(describe_error(error), table->last_error) != 0)
	{
		end_wish(copier, table, "change_not_skipped",
				 job.drain.failing.segment == 0
					 ? "No single change is to blame."
					 : "The first change that fails now does so with another error.");
		mark_table_failed(copier->config->name, table->id, state::source_table_name(table), error,
						  job.drain.failing.lsn);
	}
	else
	{
		state::delete_entry(table->id, table->generation, job.drain.failing.segment,
							job.drain.failing.entry);
		state::count_skipped(table->id);
		end_wish(copier, table, "change_skipped", describe_change(table, job.drain.failing));
	}
	return true;
}

/* A table whose wish is committed, with its row held; nullptr: none. */
state::SyncedTable *
take_table(const Copier *copier)
{
	int64 id = base::read_number("SELECT t.id FROM livesync.synced_table t JOIN livesync.wish w "
								 "ON w.table_id = t.id WHERE t.connector_id = $1 "
								 "AND w.wanted = 'skip' AND t.state IN ('failed', 'catching_up') "
								 "LIMIT 1 FOR NO KEY UPDATE OF t SKIP LOCKED",
								 {base::int_value(copier->config->id)});
	state::SyncedTable *table =
		id != 0 ? state::load_table(id, state::RowLock::try_update) : nullptr;

	return table != nullptr && table->wish == state::Wish::skip &&
				   (table->state == state::TableState::failed ||
					table->state == state::TableState::catching_up)
			   ? table
			   : nullptr;
}

} // namespace

bool
skip_one_change(Copier *copier)
{
	MemoryContext before = begin_piece(copier);
	state::SyncedTable *table = take_table(copier);
	bool keep = false;

	if (table != nullptr)
	{
		set_copy_activity(table->id, 0, "looking for the change that fails");
		keep = skip_locked(copier, table);
		set_copy_activity(0, 0, nullptr);
	}

	return end_piece(before, keep);
}

} // namespace worker
