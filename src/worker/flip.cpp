/*
 * worker/flip.cpp
 *
 * catching_up ─► streaming, or for a shadow its exchange: the stream has passed the copy's end, the tail of the spool is
 * replayed, rows that were set aside are fetched, and the table streams from the end of that transaction on.
 *
 * Surprising: only the connector worker does this, since the last changes of the spool may not be visible to others yet.
 */
#include "worker/connector.hpp"

#include "base/failpoint.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "state/pending_index.hpp"
#include "state/spool.hpp"
#include "worker/drain.hpp"
#include "worker/failure.hpp"
#include "worker/follow.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

struct FlipStep
{
	ConnectorWorker *worker;
	state::SyncedTable *table;
	bool is_done;
	Drain drain;
	DrainResult result;
};

void
flip_step(void *argument)
{
	FlipStep *step = (FlipStep *) argument;

	step->result = drain_spool(&step->drain);
	if (step->result == DrainResult::empty)
		step->result = restore_aside(&step->drain);
	if (step->result == DrainResult::empty && step->drain.refetched <= step->worker->applied &&
		step->table->shadow_of != 0)
		step->is_done = try_begin_exchange(step->worker, step->table);
	else if (step->result == DrainResult::empty && step->drain.refetched <= step->worker->applied)
	{
		state::set_streaming(step->table->id);
		set_table_wait(step->table->id, nullptr);
		state::record_event(step->worker->config->name, state::source_table_name(step->table),
							"table_streaming", nullptr);
		step->is_done = true;
	}
}

/* In the transaction of the caller, who rolls back when nothing came of it. */
bool
flip_locked(ConnectorWorker *worker, state::SyncedTable *table, bool *is_blocked)
{
	FlipStep step{worker, table, false, {}, {}};

	step.drain.table = table;
	step.drain.connector = worker->config->name;
	step.drain.control = worker->control;
	bool blamed = base::blame_tables(true);
	ErrorData *error = base::run_limited(flip_step, &step, kFlipLockMs);

	(void) base::blame_tables(blamed);
	if (error == nullptr && step.result == DrainResult::failed)
		error = step.drain.failure.error;
	if (error != nullptr && base::is_lock_timeout(error))
	{
		set_table_wait(table->id, describe_lock_wait(error, table, RowExclusiveLock));
		*is_blocked = true;
		return false;
	}
	if (error != nullptr)
	{
		if (step.result == DrainResult::failed)
		{
			/* what the drain did before it failed must not stay */
			AbortCurrentTransaction();
			base::begin_transaction();
		}
		mark_drain_failed(worker->config->id, worker->config->name, table, error,
						  step.drain.failure);
		worker->tables_changed = true;
		return true;
	}
	if (step.result == DrainResult::stopped)
	{
		mark_table_failed(worker->config->name, table->id, state::source_table_name(table),
						  step.drain.failure.error, step.drain.failure.lsn);
		worker->tables_changed = true;
		state::move_end_lsn(table->id, step.drain.refetched);
		return true;
	}
	if (step.result == DrainResult::copy_again)
	{
		AbortCurrentTransaction();
		base::begin_transaction();
		copy_again(worker->config->name, table->id);
		worker->tables_changed = true;
		return true;
	}
	if (step.drain.refetched > worker->applied && step.result == DrainResult::empty)
	{
		state::move_end_lsn(table->id, step.drain.refetched);
		worker->tables_changed = true;
		return true;
	}
	worker->tables_changed |= step.is_done;
	return step.is_done;
}

} // namespace

void
try_flip(ConnectorWorker *worker, Route *route)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "livesync flip", ALLOCSET_DEFAULT_SIZES);

	base::failpoint("before_flip", route->name);
	base::begin_transaction();
	MemoryContext old = MemoryContextSwitchTo(context);
	state::SyncedTable *table = state::load_table(route->table->id, state::RowLock::try_update);
	bool keep = false;
	bool is_blocked = false;

	if (table != nullptr && table->state == state::TableState::catching_up &&
		table->phase == state::Phase::none && table->end_lsn <= worker->applied &&
		!state::has_wish(table->id) && !state::has_unbuilt_index(table->id) &&
		state::count_spooled(table->id, table->generation) <= kTailChanges)
		keep = flip_locked(worker, table, &is_blocked);
	MemoryContextSwitchTo(old);
	if (keep)
	{
		base::commit_transaction();
	}
	else
	{
		AbortCurrentTransaction();
		if (is_blocked || route->is_shadow)
			route->flip_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kFlipPauseMs);
	}
	MemoryContextDelete(context);
	base::failpoint("after_flip", route->name);
}

} // namespace worker
