/*
 * worker/begin.cpp
 *
 * A queued table, until its copy begins.  See connector.hpp.
 *
 *   published ─► gate, confirmed ─► noted ─► the stream passes a position of after the note ─► the copy begins
 *
 * Surprising: the copy must not begin where the stream stands just now.  The stream may be behind what nothing in it tells: rows
 * that were written anew, a column that was dropped and added, what was written to a partition that was away for a moment.
 * Changes of before would go to the spool then, and put their values over the rows that the copy brings.  What happens behind
 * the note is found by the looks that compare with it.
 */
#include "worker/connector.hpp"

#include "base/failpoint.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "source/catalog.hpp"
#include "source/column_versions.hpp"
#include "source/partitions.hpp"
#include "state/column_versions.hpp"
#include "state/partitions.hpp"
#include "worker/failure.hpp"
#include "worker/registry.hpp"
#include "worker/table_setup.hpp"

namespace worker
{
namespace
{

struct BeginStep
{
	ConnectorWorker *worker;
	state::SyncedTable *table;
	bool is_partitioned;
};

void
begin_copy_step(void *argument)
{
	BeginStep *step = (BeginStep *) argument;

	begin_copy(step->worker->config, step->table, step->worker->control, step->is_partitioned);
}

/* A fresh walsender streams from behind the publication of the table. */
bool
is_admitted(ConnectorWorker *worker, const state::SyncedTable *table)
{
	if (table->phase == state::Phase::publish_gate)
		return false;
	if (table->phase != state::Phase::confirm || worker->connected_at >= table->admit_lsn)
		return true;
	worker->needs_reconnect |= worker->confirmed >= table->admit_lsn;
	return false;
}

/* What the source may change without a word in the stream, as it is now.  True: the table has partitions. */
bool
note_source(const state::SyncedTable *table, source::Connection *control)
{
	source::ColumnVersions columns =
		source::read_column_versions(control, table->source_oid, table->ncolumns, table->columns);

	state::record_column_versions(table->id, columns.count, columns.texts, columns.look);
	if (columns.is_partitioned)
		state::record_partitions(table->id,
								 source::read_partition_links(control, table->source_oid));
	return columns.is_partitioned;
}

/* False: a call has the row of the table. */
bool
try_note(ConnectorWorker *worker, Route *route)
{
	base::begin_transaction();
	state::SyncedTable *table = state::load_table(route->table->id, state::RowLock::try_update);
	bool is_ours = table != nullptr && table->state == state::TableState::queued;

	if (is_ours)
	{
		route->is_partitioned = note_source(table, worker->control);
		route->is_noted = true;
		/* without a copy all that the stream brings is wanted */
		if (!table->copy_data)
			route->begin_after = worker->applied;
	}
	base::commit_transaction();
	return is_ours;
}

void
try_begin(ConnectorWorker *worker, Route *route)
{
	base::begin_transaction();
	BeginStep step{worker, state::load_table(route->table->id, state::RowLock::try_update),
				   route->is_partitioned};

	if (step.table != nullptr && step.table->state == state::TableState::queued)
	{
		ErrorData *error = base::run_limited(begin_copy_step, &step, kFlipLockMs);

		set_table_wait(step.table->id, nullptr);
		if (error != nullptr && base::is_lock_timeout(error))
		{
			set_table_wait(step.table->id,
						   describe_lock_wait(error, step.table, AccessExclusiveLock));
			route->flip_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kFlipPauseMs);
		}
		else
		{
			/* it may be queued again before we see that it was not */
			forget_note(route);
			if (error != nullptr)
				mark_table_failed(worker->config->name, step.table->id,
								  state::source_table_name(step.table), error, worker->applied);
		}
		worker->tables_changed = true;
	}
	base::commit_transaction();
	base::failpoint("spool_started", route->name);
}

} // namespace

void
forget_note(Route *route)
{
	route->is_noted = false;
	route->begin_after = wire::kInvalidLsn;
}

void
start_table(ConnectorWorker *worker, Route *route)
{
	if (!is_admitted(worker, route->table))
	{
		forget_note(route);
		return;
	}
	if (!route->is_noted && !try_note(worker, route))
		return;
	if (route->begin_after != wire::kInvalidLsn && worker->applied >= route->begin_after)
		try_begin(worker, route);
}

void
place_begins(ConnectorWorker *worker)
{
	HASH_SEQ_STATUS scan;
	Route *route;
	wire::Lsn position = wire::kInvalidLsn;
	wire::Lsn next = wire::kInvalidLsn;

	hash_seq_init(&scan, worker->routes->by_relid);
	while ((route = (Route *) hash_seq_search(&scan)) != nullptr)
	{
		if (!route->is_noted)
			continue;
		if (route->begin_after == wire::kInvalidLsn)
		{
			if (position == wire::kInvalidLsn)
				position = source::wait_source_flushed(worker->control);
			route->begin_after = position;
			set_table_wait(route->table->id, "the stream to pass what had happened at the source");
		}
		else if (route->begin_after <= worker->applied)
			continue; /* something else keeps it */
		if (next == wire::kInvalidLsn || route->begin_after < next)
			next = route->begin_after;
	}
	worker->next_begin = next;
}

bool
is_begin_due(const ConnectorWorker *worker)
{
	return worker->next_begin != wire::kInvalidLsn && worker->applied >= worker->next_begin;
}

} // namespace worker
