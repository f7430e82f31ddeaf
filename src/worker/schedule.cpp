/*
 * worker/schedule.cpp
 *
 * What the connector worker does for its tables between two source transactions.  See connector.hpp.
 *
 *   queued       begin the copy: from this commit on the table's changes are spooled
 *   catching_up  when the stream has passed the copy's end: replay the tail and let the table stream
 *   failed       try again after a delay
 *   any          a call wants it paused: from this commit on its changes are spooled, until a call resumes it
 *
 * Only this process writes spools and lets tables stream, so only it can know that nothing is missing.
 */
#include "worker/connector.hpp"

#include "base/failpoint.hpp"
#include "base/settings.hpp"
#include "base/subtransaction.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "state/ledger.hpp"
#include "state/pending_index.hpp"
#include "state/spool.hpp"
#include "worker/drain.hpp"
#include "worker/follow.hpp"
#include "worker/process.hpp"
#include "worker/registry.hpp"
#include "worker/table_setup.hpp"

namespace worker
{
namespace
{

constexpr int64 kLongestRetryMs = 60000;
constexpr int kFlipLockMs = 100;
constexpr int kFlipPauseMs =
	1000; /* after a flip, or a beginning, that a lock kept from happening */

struct TableStep
{
	ConnectorWorker *worker;
	state::SyncedTable *table;
	bool is_done;
	Drain drain;
	DrainResult result;
};

void
mark_failed(ConnectorWorker *worker, const state::SyncedTable *table, const ErrorData *error,
			wire::Lsn lsn)
{
	mark_table_failed(worker->config->name, table->id, state::source_table_name(table), error, lsn);
	worker->tables_changed = true;
}

void
begin_copy_step(void *argument)
{
	TableStep *step = (TableStep *) argument;

	begin_copy(step->worker->config, step->table, step->worker->control);
	step->is_done = true;
}

/* queued: wait until a fresh walsender streams from behind the publication of the table, then begin. */
void
start_table(ConnectorWorker *worker, Route *route)
{
	if (route->table->phase == state::Phase::publish_gate)
		return;
	if (route->table->phase == state::Phase::confirm &&
		worker->connected_at < route->table->admit_lsn)
	{
		worker->needs_reconnect |= worker->confirmed >= route->table->admit_lsn;
		return;
	}

	base::begin_transaction();
	TableStep step{
		worker, state::load_table(route->table->id, state::RowLock::try_update), false, {}, {}};

	if (step.table != nullptr && step.table->state == state::TableState::queued)
	{
		ErrorData *error = base::run_limited(begin_copy_step, &step, kFlipLockMs);

		if (error != nullptr && base::is_lock_timeout(error))
		{
			set_table_wait(step.table->id,
						   describe_lock_wait(error, step.table, AccessExclusiveLock));
			route->flip_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kFlipPauseMs);
		}
		else if (error != nullptr)
			mark_failed(worker, step.table, error, worker->applied);
		else
			set_table_wait(step.table->id, nullptr);
		worker->tables_changed = true;
	}
	base::commit_transaction();
	base::failpoint("spool_started", route->name);
}

void
flip_step(void *argument)
{
	TableStep *step = (TableStep *) argument;

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
	TableStep step{worker, table, false, {}, {}};

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
		mark_failed(worker, table, step.drain.failure.error, step.drain.failure.lsn);
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

void
retry_failed(ConnectorWorker *worker, Route *route, TimestampTz now)
{
	if (route->retry_at == 0)
	{
		int64 delay = base::settings::retry_delay_ms;

		for (int i = 0; i < route->retries && delay < kLongestRetryMs; i++)
			delay *= 2;
		route->retry_at = TimestampTzPlusMilliseconds(now, Min(delay, kLongestRetryMs));
		return;
	}
	if (now < route->retry_at || route->table->wish == state::Wish::skip)
		return;
	route->retry_at = 0;
	route->retries++;

	base::begin_transaction();
	if (state::load_table(route->table->id, state::RowLock::try_update) != nullptr)
		worker->tables_changed |= state::leave_failed(route->table->id);
	base::commit_transaction();
}

/* Here everything before `applied` is in the table and nothing behind it. */
void
try_pause(ConnectorWorker *worker, Route *route)
{
	base::begin_transaction();
	state::SyncedTable *table = state::load_table(route->table->id, state::RowLock::try_update);
	bool is_paused = table != nullptr && table->phase != state::Phase::exchange &&
					 (table->state == state::TableState::streaming ||
					  table->state == state::TableState::copying ||
					  table->state == state::TableState::catching_up) &&
					 state::try_take_wish(table->id, state::Wish::pause);

	if (is_paused)
	{
		state::set_paused(table->id, worker->applied);
		set_table_wait(table->id, nullptr);
		state::record_event(worker->config->name, route->name, "table_paused", nullptr);
		worker->tables_changed = true;
	}
	base::commit_transaction();
	if (is_paused)
		base::failpoint("table_paused", route->name);
}

void
schedule_table(ConnectorWorker *worker, Route *route, TimestampTz now)
{
	switch (route->table->state)
	{
		case state::TableState::queued:
			if (route->flip_at <= now)
				start_table(worker, route);
			break;
		case state::TableState::catching_up:
			if (route->table->wish == state::Wish::none &&
				route->table->phase == state::Phase::none &&
				route->table->end_lsn <= worker->applied && route->flip_at <= now)
				try_flip(worker, route);
			break;
		case state::TableState::failed:
			retry_failed(worker, route, now);
			break;
		case state::TableState::streaming:
			route->retries = 0;
			route->retry_at = 0;
			break;
		case state::TableState::copying:
		case state::TableState::paused:
			break;
	}
}

bool
start_copy_worker(int connector_id)
{
	int copy_slot = reserve_copy(connector_id);
	struct
	{
		Oid database;
		int copy_slot;
	} extra{MyDatabaseId, copy_slot};

	if (copy_slot < 0)
		return false;
	if (start_process("livesync copy", "livesync_copy_main", Int32GetDatum(my_connector_slot()),
					  &extra, sizeof(extra), nullptr))
		return true;
	release_copy(copy_slot);
	ereport(LOG,
			(errmsg("could not start a livesync copy worker: all background workers are in use"),
			 errhint("Raise max_worker_processes.")));
	return false;
}

/* How many copy workers have something to do now. */
int
count_copy_jobs(ConnectorWorker *worker)
{
	int connector_id = worker->config->id;

	base::begin_transaction();
	base::begin_sql();
	base::run_sql(
		"SELECT (SELECT count(*) FROM livesync.chunk c JOIN livesync.synced_table t "
		"ON t.id = c.table_id AND t.generation = c.generation WHERE t.connector_id = $1 "
		"AND t.state = 'copying' AND t.phase = 'load' AND c.done_at IS NULL "
		"AND NOT EXISTS (SELECT FROM livesync.wish w WHERE w.table_id = t.id)) + "
		"(SELECT count(*) FROM livesync.synced_table t WHERE t.connector_id = $1 AND "
		"(t.phase IN ('publish_gate', 'gate') AND t.state IN ('queued', 'copying') "
		"OR t.state = 'copying' AND t.phase = 'load' AND NOT EXISTS (SELECT FROM livesync.chunk c "
		"WHERE c.table_id = t.id AND c.generation = t.generation AND c.done_at IS NULL) "
		"OR t.state IN ('failed', 'catching_up') AND EXISTS (SELECT FROM livesync.wish w "
		"WHERE w.table_id = t.id AND w.wanted = 'skip') "
		"OR t.phase = 'exchange' AND t.shadow_of IS NOT NULL "
		"OR t.analyze_wanted AND t.state <> 'copying' AND NOT EXISTS (SELECT FROM livesync.synced_table o "
		"WHERE o.connector_id = $1 AND o.state IN ('queued', 'copying')) "
		"OR t.state = 'catching_up' AND t.phase = '' AND NOT EXISTS (SELECT FROM livesync.wish w "
		"WHERE w.table_id = t.id) AND (SELECT sum(s.changes) FROM livesync.spool s "
		"WHERE s.table_id = t.id AND s.generation = t.generation) > $2))",
		{base::int_value(connector_id), base::int_value(kTailChanges)});
	int jobs = (int) Min(base::get_bigint(0, 1), 1000);

	base::end_sql();
	int indexes = state::count_index_jobs(connector_id, worker->applied, kTailChanges);

	worker->has_index_jobs = indexes > 0;
	jobs += indexes;
	base::commit_transaction();
	return jobs;
}

/* A step may change the routes and runs transactions of its own: go by what a route is found by. */
struct RouteName
{
	uint32 relid;
	bool is_shadow;
	int64 table_id;
};

struct RouteNames
{
	int count;
	RouteName *names;
};

RouteNames
pick_routes(const ConnectorWorker *worker, bool (*is_wanted)(const Route *route))
{
	HTAB *routes = worker->routes->by_relid;
	RouteNames it{0, (RouteName *) palloc(sizeof(RouteName) * (hash_get_num_entries(routes) + 1))};
	HASH_SEQ_STATUS scan;
	Route *route;

	hash_seq_init(&scan, routes);
	while ((route = (Route *) hash_seq_search(&scan)) != nullptr)
		if (is_wanted(route))
			it.names[it.count++] = RouteName{route->relid, route->is_shadow != 0, route->table->id};
	return it;
}

Route *
find_again(const ConnectorWorker *worker, const RouteName &name)
{
	Route *route = name.is_shadow ? find_shadow_route(worker->routes, name.relid)
								  : find_route(worker->routes, name.relid);

	return route != nullptr && route->table->id == name.table_id ? route : nullptr;
}

bool
is_pause_wanted(const Route *route)
{
	return route->table->wish == state::Wish::pause;
}

bool
is_attention_wanted(const Route *route)
{
	return route->table->state != state::TableState::streaming || route->retries > 0;
}

} // namespace

void
reload_routes(ConnectorWorker *worker)
{
	worker->tables_changed = false;
	base::begin_transaction();
	load_routes(worker->routes, worker->config->id);
	base::commit_transaction();
}

void
pause_tables(ConnectorWorker *worker)
{
	RouteNames wanted = pick_routes(worker, is_pause_wanted);
	Route *route;

	for (int i = 0; i < wanted.count; i++)
		if ((route = find_again(worker, wanted.names[i])) != nullptr)
			try_pause(worker, route);
	pfree(wanted.names);
	/* the next change must not go the way of before */
	if (worker->tables_changed)
		reload_routes(worker);
}

bool
schedule_tables(ConnectorWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	RouteNames wanted = pick_routes(worker, is_attention_wanted);
	Route *route;

	for (int i = 0; i < wanted.count; i++)
		if ((route = find_again(worker, wanted.names[i])) != nullptr)
			schedule_table(worker, route, now);
	pfree(wanted.names);
	return wanted.count > 0;
}

void
schedule_copies(ConnectorWorker *worker)
{
	int running = count_copies(worker->config->id);

	if (running >= worker->config->copy_workers || !may_start_copies())
		return;
	int wanted = Min(count_copy_jobs(worker), worker->config->copy_workers);

	while (running < wanted && start_copy_worker(worker->config->id))
		running++;
}

} // namespace worker
