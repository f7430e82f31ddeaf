/*
 * worker/commit.cpp
 *
 * The local transaction, and the position up to which all is committed here.  See connector.hpp.
 *
 *   batch.cpp      change ─► arena ─► (full, or end of a source transaction) ─► apply ─┐
 *   spooling.cpp   change ─► spool segment ────────────────────────────────────────────┼─► commit, which advances the origin
 *                  counters ───────────────────────────────────────────────────────────┘
 *
 * A big source transaction is applied in slices, within one local transaction: it is visible whole or not at all.
 */
#include "worker/connector.hpp"

#include "base/compat.hpp"
#include "base/failpoint.hpp"
#include "base/settings.hpp"
#include "base/transaction.hpp"
#include "state/stats.hpp"
#include "target/origin.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

constexpr int64 kStatsEveryMs = 5000; /* while it is never idle: nobody waits for an idle moment */
constexpr int64 kOriginEveryMs = 1000;

void
write_stats(ConnectorWorker *worker, TimestampTz now, bool has_to)
{
	if (!has_to && !TimestampDifferenceExceeds(worker->stats_at, now, kStatsEveryMs))
		return;
	worker->stats_at = now;
	for (Route *route = worker->routes->busy; route != nullptr; route = route->next_busy)
		if (route->has_stats)
		{
			state::add_stats(route->table->id, route->stats);
			route->stats = {};
			route->has_stats = false;
		}
}

void
remember_mark(ConnectorWorker *worker, wire::Lsn remote, XLogRecPtr local)
{
	if (worker->nmarks == kFlushMarks)
	{
		/* fold the newest two: confirming later is always right */
		FlushMark &newest = worker->marks[(worker->first_mark + worker->nmarks - 1) % kFlushMarks];

		newest = FlushMark{remote, local};
		return;
	}
	worker->marks[(worker->first_mark + worker->nmarks++) % kFlushMarks] = FlushMark{remote, local};
}

void
show_positions(const ConnectorWorker *worker)
{
	ConnectorEntry *entry = my_entry();

	entry->received = worker->received;
	entry->applied = worker->applied;
	entry->flushed = worker->confirmed;
	entry->source = Max(entry->source, worker->received);
	entry->applied_at = GetCurrentTimestamp();
}

} // namespace

bool
is_at_boundary(const ConnectorWorker *worker)
{
	return !worker->in_source_transaction && !worker->in_local_transaction &&
		   worker->batch_changes == 0;
}

void
begin_local(ConnectorWorker *worker)
{
	if (worker->in_local_transaction)
		return;
	base::begin_transaction();
	worker->in_local_transaction = true;
	worker->local_began = GetCurrentTimestamp();
}

void
abort_local()
{
	target::forget_commit_position();
	AbortCurrentTransaction();
}

void
roll_back_local(ConnectorWorker *worker)
{
	abort_local();
	MemoryContextSwitchTo(worker->turn);
	forget_changes(worker->routes);
	empty_batch(worker);
	worker->in_local_transaction = false;
}

bool
is_batch_due(const ConnectorWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	int delay = base::settings::batch_delay_ms;

	return is_batch_full(worker) ||
		   (worker->batch_changes > 0 &&
			TimestampDifferenceExceeds(worker->batch_began, now, delay)) ||
		   (worker->in_local_transaction &&
			TimestampDifferenceExceeds(worker->local_began, now, delay));
}

bool
is_housekeeping_due(const ConnectorWorker *worker)
{
	return TimestampDifferenceExceeds(worker->housekept_at, GetCurrentTimestamp(),
									  base::settings::batch_delay_ms + 50);
}

void
commit_local(ConnectorWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();

	flush_batch(worker);
	if (!worker->in_local_transaction)
	{
		/* nothing of it was for us: the position is taken over when idle */
		worker->has_uncommitted = worker->has_napped = false;
		worker->applied = Max(worker->applied, worker->end_lsn);
		show_positions(worker);
		return;
	}
	base::failpoint("spool_before_commit");
	write_all_spools(worker);
	write_stats(worker, now, false);
	drop_idle(worker->routes);
	target::set_commit_position(worker->end_lsn, worker->commit_time);
	base::failpoint("apply_before_commit");
	base::commit_transaction();
	worker->in_local_transaction = false;
	worker->has_uncommitted = worker->has_napped = false;
	base::failpoint("apply_after_commit");
	worker->origin = Max(worker->origin, worker->end_lsn);
	worker->applied = Max(worker->applied, worker->end_lsn);
	remember_mark(worker, worker->end_lsn, XactLastCommitEnd);
	show_positions(worker);
	note_progress();
}

void
advance_idle(ConnectorWorker *worker, wire::Lsn position, bool now)
{
	TimestampTz at = GetCurrentTimestamp();

	worker->applied = Max(worker->applied, position);
	show_positions(worker);

	bool is_due = now || TimestampDifferenceExceeds(worker->origin_advanced_at, at, kOriginEveryMs);
	bool has_stats = worker->routes->busy != nullptr;

	if (!is_due || (worker->origin >= worker->applied && !has_stats))
		return;

	base::begin_transaction();
	write_stats(worker, at, true);
	drop_idle(worker->routes);
	target::set_commit_position(worker->applied, at);
	base::commit_transaction();
	worker->origin = worker->applied;
	worker->origin_advanced_at = at;
	remember_mark(worker, worker->applied, XactLastCommitEnd);
	if (now)
		XLogFlush(XactLastCommitEnd);
}

void
note_flushed(ConnectorWorker *worker)
{
	XLogRecPtr flushed = base::local_flush_position();

	while (worker->nmarks > 0 && worker->marks[worker->first_mark].local <= flushed)
	{
		worker->confirmed = Max(worker->confirmed, worker->marks[worker->first_mark].remote);
		worker->first_mark = (worker->first_mark + 1) % kFlushMarks;
		worker->nmarks--;
	}
}

} // namespace worker
