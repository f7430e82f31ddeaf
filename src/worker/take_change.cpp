/*
 * worker/take_change.cpp
 *
 * A change goes by the state of its table: into the batch, to the spool, or nowhere.  See connector.hpp.
 */
#include "worker/connector.hpp"

#include "worker/stream_rules.hpp"

namespace worker
{
namespace
{

/*
 * An INSERT carries an unchanged value when an update makes a row match the row filter.  Where filters differ by action, what is
 * recorded as the table's filter is perhaps none at all.
 */
bool
may_be_filtered(const state::SyncedTable *table)
{
	return table->row_filter != nullptr || table->mode == state::CopyMode::snapshot;
}

/* From here on the table's changes go to its spool, and it catches up from there. */
void
divert_to_spool(ConnectorWorker *worker, Route *route)
{
	start_again_behind(worker);
	flush_route(worker, route);
	begin_local(worker);
	state::finish_load(route->table->id, worker->commit_lsn);
	route->table->state = state::TableState::catching_up;
	worker->tables_changed = true;
}

/* A shadow gets everything that its table gets, and never streams. */
void
spool_for_shadow(ConnectorWorker *worker, uint32 relid, std::string_view raw)
{
	Route *shadow = find_shadow_route(worker->routes, relid);

	if (shadow != nullptr && is_spooling(shadow))
		spool_change(worker, shadow, raw, 1);
}

} // namespace

void
take_change(ConnectorWorker *worker, const wire::Message &message, std::string_view raw)
{
	Route *route = find_route(worker->routes, message.change.relid);

	if (route == nullptr)
		return;
	StreamRelation *relation = find_relation(worker->routes, route->relid);

	check_columns(relation, route->name, message.change);
	/* nothing is done with the others */
	if (route->table->state != state::TableState::queued)
		check_format(worker, route, relation);
	spool_for_shadow(worker, message.change.relid, raw);
	if (route->table->state == state::TableState::streaming)
	{
		if (message.kind != wire::MessageKind::insert || !may_be_filtered(route->table) ||
			!wire::has_unchanged(message.change.new_tuple))
		{
			if (route->target == nullptr || route->target_changes != target::definition_changes())
				(void) ensure_target(worker, route);
			/* triggers that fire may look at other tables: everything before comes first */
			bool is_barrier = route->target->fires_triggers;

			if (is_barrier)
				flush_batch(worker);
			add_change(worker, route, message);
			if (is_barrier)
				flush_batch(worker);
			return;
		}
		divert_to_spool(worker, route);
	}
	if (is_spooling(route))
		spool_change(worker, route, raw, 1);
}

void
take_truncate(ConnectorWorker *worker, const wire::Message &message, std::string_view raw)
{
	Route **streaming = (Route **) palloc(sizeof(Route *) * (message.truncate.count + 1));
	int count = 0;

	for (uint32 i = 0; i < message.truncate.count; i++)
	{
		Route *route = find_route(worker->routes, message.truncate.relid(i));

		if (route == nullptr)
			continue;
		spool_for_shadow(worker, message.truncate.relid(i), raw);
		if (route->table->state == state::TableState::streaming)
			streaming[count++] = route;
		else if (is_spooling(route))
			spool_change(worker, route, raw, 1);
	}
	if (count > 0)
	{
		flush_batch(worker);
		truncate_routes(worker, streaming, count, message.truncate.restart_identity);
	}
	pfree(streaming);
}

void
take_relation(ConnectorWorker *worker, const wire::Message &message, std::string_view raw)
{
	Route *route = find_route(worker->routes, message.relation.relid);

	/* changes that came before are of the old shape */
	if (route != nullptr && route->first != nullptr)
		flush_route(worker, route);
	remember_relation(worker->routes, message.relation, raw);
	/* a segment that was begun has the old description in front: say the new one too */
	for (Route *it : {route, find_shadow_route(worker->routes, message.relation.relid)})
		if (it != nullptr && is_spooling(it) && it->spool != nullptr && it->spool->len > 0)
			spool_change(worker, it, raw, 0);
}

} // namespace worker
