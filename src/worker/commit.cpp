/*
 * worker/commit.cpp
 *
 * The batch and the local transaction.  See connector.hpp.
 *
 *   change ─► arena ─► (full, or end of a source transaction) ─► apply ─┐
 *   change ─► spool segment ────────────────────────────────────────────┼─► commit, which advances the origin
 *   counters ───────────────────────────────────────────────────────────┘
 *
 * A big source transaction is applied in slices, within one local transaction: it is visible whole or not at all.
 */
#include "worker/connector.hpp"

#include "base/compat.hpp"
#include "base/failpoint.hpp"
#include "base/settings.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/spool.hpp"
#include "state/stats.hpp"
#include "target/origin.hpp"
#include "worker/follow.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

constexpr int kSegmentBytes = 256 * 1024;
constexpr int kMostTables = 256;	  /* of one batch, and with plans kept for the next */
constexpr int64 kStatsEveryMs = 5000; /* while it is never idle: nobody waits for an idle moment */
constexpr int64 kOriginEveryMs = 1000;

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
write_spool(Route *route)
{
	const state::SyncedTable *table = route->table;

	if (route->spool == nullptr || route->spool_changes == 0)
		return;
	/* one transaction may write any number of segments */
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "livesync segment", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	if (route->last_segment < 0)
		route->last_segment = state::last_segment(table->id, table->generation);
	state::write_segment(table->id, table->generation, ++route->last_segment, route->spool_changes,
						 route->spool);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	/* a kept buffer for each of many tables would be much */
	pfree(route->spool->data);
	pfree(route->spool);
	route->spool = nullptr;
	route->spool_changes = 0;
}

void
write_all_spools(ConnectorWorker *worker)
{
	for (Route *route = worker->routes->busy; route != nullptr; route = route->next_busy)
		write_spool(route);
	worker->spool_bytes = 0;
}

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
add_counts(Route *route, const base::ChangeCounts &counts, wire::Lsn lsn)
{
	base::add_counts(&route->stats, counts);
	route->has_stats = true;
	tell_conflicts(route, counts, lsn);
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

struct OpenTarget
{
	ConnectorWorker *worker;
	Route *route;
	const StreamRelation *relation;
	uint32 xid; /* of the first change it is opened for */
	wire::Lsn lsn;
	FollowResult followed;
};

void
follow_relation(void *argument)
{
	OpenTarget *it = (OpenTarget *) argument;
	FollowContext context{it->worker->config->name, it->worker->control, it->route->table};

	it->followed = follow_stream(context, it->relation, it->xid, it->lsn);
	if (it->followed == FollowResult::done)
		it->route->followed_version = it->relation->version;
}

void
open_target_of(void *argument)
{
	OpenTarget *it = (OpenTarget *) argument;

	(void) open_route_target(it->route, it->relation, TopMemoryContext);
}

void
empty_batch(ConnectorWorker *worker)
{
	MemoryContextReset(worker->arena);
	worker->batch_changes = 0;
	worker->batch_tables = 0;
	worker->batch_bytes = 0;
}

} // namespace

target::TargetRelation *
ensure_target(ConnectorWorker *worker, Route *route)
{
	OpenTarget it{worker,
				  route,
				  find_relation(worker->routes, route->relid),
				  route->first != nullptr ? route->first->xid : worker->xid,
				  route->first != nullptr ? route->first->lsn : worker->commit_lsn,
				  FollowResult::done};
	const StreamRelation *relation = it.relation;

	begin_local(worker);
	if (relation == nullptr)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("the source sent changes of table \"%s\" without describing it",
							   route->name)));
	if (route->target != nullptr && route->target_version == relation->version &&
		route->target_changes == target::definition_changes())
		return route->target;

	worker->open_targets += route->target == nullptr;
	int limit = base::begin_lock_limit(base::settings::lock_timeout_ms);
	ErrorData *error = nullptr;

	if (route->followed_version != relation->version)
	{
		error = base::run_in_subtransaction(follow_relation, &it);
		/* what came before has to be committed, then it stops: replaying the spool can do that */
		if ((error != nullptr && !base::is_lock_timeout(error)) ||
			it.followed == FollowResult::again_later)
			begin_table_catch_up(worker, route, worker->commit_lsn);
	}
	if (error == nullptr && it.followed == FollowResult::done)
		error = base::run_in_subtransaction(open_target_of, &it);
	base::end_lock_limit(limit);
	if (error != nullptr)
		set_table_apart(worker, route, error, worker->commit_lsn);
	if (it.followed == FollowResult::copy_again)
		begin_table_anew(worker, route);
	check_target_format(worker, route);
	return route->target;
}

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
spool_change(ConnectorWorker *worker, Route *route, std::string_view raw, int changes)
{
	const StreamRelation *relation = find_relation(worker->routes, route->relid);
	wire::Lsn lsn = worker->commit_lsn;

	begin_local(worker);
	/* a huge one needs a segment for itself, which must not outgrow a value */
	if (raw.size() >= kSegmentBytes)
		write_spool(route);
	if (route->spool == nullptr)
	{
		MemoryContext old = MemoryContextSwitchTo(worker->routes->context);

		route->spool = makeStringInfo();
		MemoryContextSwitchTo(old);
		note_busy(worker->routes, route);
	}
	/* each segment can be read by itself */
	if (route->spool->len == 0 && relation != nullptr)
		state::append_entry(route->spool,
							{worker->xid, lsn, {relation->message, relation->message_size}});
	state::append_entry(route->spool, {worker->xid, lsn, raw});
	route->spool_changes += changes;
	worker->spool_bytes += raw.size();
	if (route->spool->len >= kSegmentBytes)
		write_spool(route);
	if (worker->spool_bytes >= (size_t) base::settings::batch_kb * 1024)
		write_all_spools(worker);
}

void
flush_route(ConnectorWorker *worker, Route *route)
{
	base::ChangeCounts counts{};
	target::ApplyFailure failure;
	wire::Lsn lsn = route->first != nullptr ? route->first->lsn : wire::kInvalidLsn;

	if (route->first == nullptr)
		return;
	begin_local(worker);
	target::TargetRelation *target = ensure_target(worker, route);
	int limit = base::begin_lock_limit(base::settings::lock_timeout_ms);

	target->streams_since = route->table->streams_since;
	if (!target::apply_changes(target, route->first, &counts, &failure))
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
