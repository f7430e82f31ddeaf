/*
 * worker/batch.cpp
 *
 * The batch: changes of streaming tables, in an arena, until they are applied table by table.  See connector.hpp.
 */
#include "worker/connector.hpp"

#include "base/settings.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

constexpr int kMostTables = 256; /* of one batch, and with plans kept for the next */

wire::Tuple
copy_tuple(MemoryContext arena, const wire::Tuple &tuple)
{
	if (!tuple.is_present())
		return tuple;
	char *body = (char *) MemoryContextAllocHuge(arena, tuple.size + 1);

	memcpy(body, tuple.body, tuple.size);
	return wire::Tuple{body, tuple.size, tuple.columns};
}

void
add_counts(Route *route, const base::ChangeCounts &counts, wire::Lsn lsn)
{
	base::add_counts(&route->stats, counts);
	route->has_stats = true;
	tell_conflicts(route, counts, lsn);
}

target::TargetRelation *
open_target(ConnectorWorker *worker, Route *route)
{
	target::TargetRelation *target = ensure_target(worker, route);

	target->streams_since = route->table->streams_since;
	return target;
}

/* is_new: the local transaction was not open before, so that nobody holds memory of it. */
bool
apply(ConnectorWorker *worker, Route *route, bool is_new, base::ChangeCounts *counts,
	  target::ApplyFailure *failure)
{
	/* the columns of the target may have been changed in it */
	bool is_empty = is_new && !TransactionIdIsValid(GetTopTransactionIdIfAny());

	if (!is_empty || route->target->fires_triggers)
		return target::apply_changes(route->target, route->first, counts, failure);

	ErrorData *error = target::apply_first(route->target, route->first, counts);

	if (error == nullptr)
		return true;
	if (base::is_lock_timeout(error))
		set_table_apart(worker, route, error, route->first->lsn);
	abort_local();
	base::begin_transaction();
	return target::apply_again(open_target(worker, route), route->first, counts, failure);
}

} // namespace

void
add_change(ConnectorWorker *worker, Route *route, const wire::Message &message)
{
	target::PendingChange *change =
		(target::PendingChange *) MemoryContextAlloc(worker->arena, sizeof(target::PendingChange));

	change->kind = message.kind;
	change->old_kind = message.change.old_kind;
	change->old_tuple = copy_tuple(worker->arena, message.change.old_tuple);
	change->new_tuple = copy_tuple(worker->arena, message.change.new_tuple);
	change->lsn = worker->commit_lsn;
	change->xid = worker->xid;
	change->next = nullptr;
	if (route->last != nullptr)
		route->last->next = change;
	else
	{
		route->first = change;
		note_busy(worker->routes, route);
		worker->batch_tables++;
	}
	route->last = change;
	if (worker->batch_changes++ == 0)
		worker->batch_began = GetCurrentTimestamp();
	worker->batch_bytes +=
		sizeof(target::PendingChange) + change->old_tuple.size + change->new_tuple.size;
}

void
flush_route(ConnectorWorker *worker, Route *route)
{
	base::ChangeCounts counts{};
	target::ApplyFailure failure;
	wire::Lsn lsn = route->first != nullptr ? route->first->lsn : wire::kInvalidLsn;

	bool is_new = !worker->in_local_transaction;

	if (route->first == nullptr)
		return;
	begin_local(worker);
	(void) open_target(worker, route);
	int limit = base::begin_lock_limit(base::settings::lock_timeout_ms);

	if (!apply(worker, route, is_new, &counts, &failure))
	{
		if (OidIsValid(failure.unreadable_type))
			fall_back_from_value(worker, route, failure);
		set_table_apart(worker, route, failure.error,
						failure.lsn != wire::kInvalidLsn ? failure.lsn : lsn);
	}
	base::end_lock_limit(limit);
	add_counts(route, counts, lsn);
	route->first = route->last = nullptr;
}

void
empty_batch(ConnectorWorker *worker)
{
	MemoryContextReset(worker->arena);
	worker->batch_changes = 0;
	worker->batch_tables = 0;
	worker->batch_bytes = 0;
}

void
flush_batch(ConnectorWorker *worker)
{
	if (worker->batch_changes == 0)
		return;
	for (Route *route = worker->routes->busy; route != nullptr; route = route->next_busy)
		flush_route(worker, route);
	empty_batch(worker);
	if (worker->open_targets > kMostTables)
		worker->open_targets = close_idle_targets(worker->routes);
}

namespace
{

struct Truncation
{
	target::TargetRelation **targets;
	int count;
	bool restart_identity;
};

void
truncate_step(void *argument)
{
	Truncation *it = (Truncation *) argument;

	target::truncate_tables(it->targets, it->count, it->restart_identity);
}

ErrorData *
try_truncate(Truncation *it)
{
	return base::run_limited(truncate_step, it, base::settings::lock_timeout_ms);
}

} // namespace

void
truncate_routes(ConnectorWorker *worker, Route **routes, int count, bool restart_identity)
{
	target::TargetRelation **targets =
		(target::TargetRelation **) palloc(sizeof(target::TargetRelation *) * (count + 1));

	begin_local(worker);
	for (int i = 0; i < count; i++)
	{
		targets[i] = ensure_target(worker, routes[i]);
		routes[i]->stats.truncates++;
		routes[i]->has_stats = true;
		note_busy(worker->routes, routes[i]);
	}
	Truncation whole{targets, count, restart_identity};

	if (try_truncate(&whole) != nullptr)
		for (int i = 0; i < count; i++)
		{
			/* which one is it? */
			Truncation one{&targets[i], 1, restart_identity};
			ErrorData *error = try_truncate(&one);

			if (error != nullptr)
				set_table_apart(worker, routes[i], error, worker->commit_lsn);
		}
	pfree(targets);
}

bool
is_batch_full(const ConnectorWorker *worker)
{
	return worker->batch_changes >= base::settings::batch_rows ||
		   worker->batch_tables >= kMostTables ||
		   worker->batch_bytes >= (size_t) base::settings::batch_kb * 1024;
}

} // namespace worker
