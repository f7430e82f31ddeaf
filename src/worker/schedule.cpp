/*
 * worker/schedule.cpp
 *
 * What the connector worker does for its tables between two source transactions.  See connector.hpp.
 *
 *   queued       begin the copy: from this commit on the table's changes are spooled (begin.cpp)
 *   catching_up  when the stream has passed the copy's end: replay the tail and let the table stream (flip.cpp)
 *   failed       try again after a delay
 *   any          a call wants it paused: from this commit on its changes are spooled, until a call resumes it
 *
 * Only this process writes spools and lets tables stream, so only it can know that nothing is missing.
 */
#include "worker/connector.hpp"

#include "base/failpoint.hpp"
#include "base/settings.hpp"
#include "base/transaction.hpp"
#include "state/event.hpp"
#include "worker/failure.hpp"
#include "worker/registry.hpp"

namespace worker
{
namespace
{

constexpr int64 kLongestRetryMs = 60000;

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
	if (now < route->retry_at || route->table->wish == state::Wish::skip ||
		route->has_odd_partition)
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
	if (route->table->state != state::TableState::queued)
		forget_note(route);
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
	place_begins(worker);
	pfree(wanted.names);
	return wanted.count > 0;
}

} // namespace worker
