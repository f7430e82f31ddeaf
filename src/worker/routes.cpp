/*
 * worker/routes.cpp
 *
 * See routes.hpp.
 */
#include "worker/routes.hpp"

#include "base/names.hpp"
#include "state/spool.hpp"

namespace worker
{
namespace
{

/* As a route begins. */
struct RouteKey
{
	uint32 relid;
	uint32 is_shadow;
};

HTAB *
make_table(const char *name, Size key_size, Size entry_size, MemoryContext context)
{
	HASHCTL control;

	memset(&control, 0, sizeof(control));
	control.keysize = key_size;
	control.entrysize = entry_size;
	control.hcxt = context;
	return hash_create(name, 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

char *
copy_name(std::string_view name)
{
	return pnstrdup(name.data(), name.size());
}

void
leave_busy(Routes *routes, const Route *route)
{
	Route **link = &routes->busy;

	while (*link != nullptr && *link != route)
		link = &(*link)->next_busy;
	if (*link != nullptr)
		*link = route->next_busy;
}

void
forget_route(Routes *routes, Route *route)
{
	if (route->is_busy)
		leave_busy(routes, route);
	close_route_target(route);
	/* it may be gone for a while by now, and nobody else knows of what was parked since */
	if (route->is_shadow)
		state::forget_spool(route->table->id);
	if (route->spool != nullptr)
	{
		pfree(route->spool->data);
		pfree(route->spool);
	}
	MemoryContextDelete(route->table_context);
	(void) hash_search(routes->by_relid, &route->relid, HASH_REMOVE, nullptr);
}

void
take_over(Routes *routes, const state::SyncedTable *table)
{
	bool found;
	RouteKey key{table->source_oid, table->shadow_of != 0};
	Route *route = (Route *) hash_search(routes->by_relid, &key, HASH_ENTER, &found);

	if (found && route->table->id != table->id)
	{
		forget_route(routes, route);
		route = (Route *) hash_search(routes->by_relid, &key, HASH_ENTER, &found);
	}
	if (!found)
	{
		memset(route, 0, sizeof(*route));
		route->relid = key.relid;
		route->is_shadow = key.is_shadow;
		route->last_segment = -1;
		route->table_context =
			AllocSetContextCreate(routes->context, "livesync route", ALLOCSET_SMALL_SIZES);
	}
	else if (route->table->generation != table->generation)
	{
		route->last_segment = -1;
		route->followed_version = 0;
		close_route_target(route);
	}
	MemoryContextReset(route->table_context);
	MemoryContext old = MemoryContextSwitchTo(route->table_context);

	route->table = state::copy_table(table);
	route->name = state::source_table_name(table);
	route->is_listed = true;
	MemoryContextSwitchTo(old);
}

} // namespace

Routes *
make_routes(MemoryContext parent)
{
	MemoryContext context =
		AllocSetContextCreate(parent, "livesync routes", ALLOCSET_DEFAULT_SIZES);
	Routes *routes = (Routes *) MemoryContextAllocZero(context, sizeof(Routes));

	routes->context = context;
	routes->by_relid = make_table("livesync routes", sizeof(RouteKey), sizeof(Route), context);
	routes->relations =
		make_table("livesync relations", sizeof(uint32), sizeof(StreamRelation), context);
	return routes;
}

void
load_routes(Routes *routes, int connector_id)
{
	state::SyncedTables list = state::load_tables(connector_id);
	HASH_SEQ_STATUS scan;
	Route *route;

	hash_seq_init(&scan, routes->by_relid);
	while ((route = (Route *) hash_seq_search(&scan)) != nullptr)
		route->is_listed = false;
	routes->nshadows = 0;
	for (int i = 0; i < list.count; i++)
	{
		take_over(routes, list.tables[i]);
		routes->nshadows += list.tables[i]->shadow_of != 0;
	}
	hash_seq_init(&scan, routes->by_relid);
	while ((route = (Route *) hash_seq_search(&scan)) != nullptr)
		if (!route->is_listed)
			forget_route(routes, route);
}

Route *
find_route(const Routes *routes, uint32 relid)
{
	RouteKey key{relid, false};

	return (Route *) hash_search(routes->by_relid, &key, HASH_FIND, nullptr);
}

Route *
find_shadow_route(const Routes *routes, uint32 relid)
{
	RouteKey key{relid, true};

	return routes->nshadows > 0 ? (Route *) hash_search(routes->by_relid, &key, HASH_FIND, nullptr)
								: nullptr;
}

void
note_busy(Routes *routes, Route *route)
{
	if (route->is_busy)
		return;
	route->is_busy = true;
	route->next_busy = routes->busy;
	routes->busy = route;
}

void
drop_idle(Routes *routes)
{
	Route **link = &routes->busy;

	while (*link != nullptr)
	{
		Route *route = *link;

		if (route->first != nullptr || route->spool != nullptr || route->has_stats)
		{
			link = &route->next_busy;
			continue;
		}
		route->is_busy = false;
		*link = route->next_busy;
	}
}

void
forget_changes(Routes *routes)
{
	HASH_SEQ_STATUS scan;
	Route *route;

	hash_seq_init(&scan, routes->by_relid);
	while ((route = (Route *) hash_seq_search(&scan)) != nullptr)
	{
		route->first = route->last = nullptr;
		route->stats = {};
		route->has_stats = false;
		route->followed_version = 0;
	}
	drop_idle(routes);
}

bool
is_everything_streaming(const Routes *routes)
{
	HASH_SEQ_STATUS scan;
	Route *route;

	hash_seq_init(&scan, routes->by_relid);
	while ((route = (Route *) hash_seq_search(&scan)) != nullptr)
		if (route->table->state != state::TableState::streaming)
		{
			hash_seq_term(&scan);
			return false;
		}
	return true;
}

int
close_idle_targets(Routes *routes)
{
	HASH_SEQ_STATUS scan;
	Route *route;
	int open = 0;

	hash_seq_init(&scan, routes->by_relid);
	while ((route = (Route *) hash_seq_search(&scan)) != nullptr)
	{
		if (route->first == nullptr)
			close_route_target(route);
		open += route->target != nullptr;
	}
	return open;
}

void
remember_relation(Routes *routes, const wire::RelationMessage &message, std::string_view raw)
{
	bool found;
	StreamRelation *it =
		(StreamRelation *) hash_search(routes->relations, &message.relid, HASH_ENTER, &found);

	if (!found)
	{
		it->version = 0;
		it->context =
			AllocSetContextCreate(routes->context, "livesync relation", ALLOCSET_SMALL_SIZES);
	}
	MemoryContextReset(it->context);
	MemoryContext old = MemoryContextSwitchTo(it->context);
	wire::RelationColumnCursor cursor(message);

	it->version++;
	it->is_binary = false;
	it->message = (char *) palloc(raw.size() + 1);
	memcpy(it->message, raw.data(), raw.size());
	it->message_size = (uint32) raw.size();
	it->replica_identity = message.replica_identity;
	it->ncolumns = message.column_count;
	it->columns = (char **) palloc(sizeof(char *) * (it->ncolumns + 1));
	it->is_key = (bool *) palloc(sizeof(bool) * (it->ncolumns + 1));
	it->types = (Oid *) palloc(sizeof(Oid) * (it->ncolumns + 1));
	it->modifiers = (int32 *) palloc(sizeof(int32) * (it->ncolumns + 1));
	for (int i = 0; i < it->ncolumns; i++)
	{
		wire::RelationColumn column = cursor.next();

		it->columns[i] = copy_name(column.name);
		it->is_key[i] = column.is_key;
		it->types[i] = column.type_oid;
		it->modifiers[i] = column.type_modifier;
	}
	MemoryContextSwitchTo(old);
}

StreamRelation *
find_relation(const Routes *routes, uint32 relid)
{
	return (StreamRelation *) hash_search(routes->relations, &relid, HASH_FIND, nullptr);
}

bool
is_of_one_position(const state::SyncedTable *table)
{
	bool has_streamed =
		table->parked_lsn != InvalidXLogRecPtr && table->end_lsn <= table->parked_lsn;

	return table->state == state::TableState::streaming ||
		   table->mode == state::CopyMode::snapshot || has_streamed || !table->copy_data;
}

target::RelationSpec
make_spec(const state::SyncedTable *table, const StreamRelation *relation)
{
	return target::RelationSpec{
		table->target_schema,
		table->target_name,
		relation->ncolumns,
		relation->columns,
		relation->types,
		relation->is_key,
		relation->replica_identity == 'f',
		table->nkey_columns,
		table->key_columns,
		is_of_one_position(table),
	};
}

target::TargetRelation *
open_route_target(Route *route, const StreamRelation *relation, MemoryContext parent)
{
	if (route->target != nullptr && route->target_version == relation->version &&
		route->target_changes == target::definition_changes())
		return route->target;
	close_route_target(route);

	/* read the counter first: a change while opening must not go unnoticed */
	AcceptInvalidationMessages();
	route->target_changes = target::definition_changes();
	route->target_version = relation->version;
	route->target = target::open_target(make_spec(route->table, relation), parent);
	return route->target;
}

target::TargetRelation *
open_recorded_target(const state::SyncedTable *table, MemoryContext parent)
{
	target::RelationSpec spec{};
	bool *is_key = (bool *) palloc0(sizeof(bool) * (table->ncolumns + 1));

	for (int i = 0; i < table->ncolumns; i++)
		is_key[i] = base::is_among(table->columns[i], table->nkey_columns, table->key_columns);
	spec.schema = table->target_schema;
	spec.name = table->target_name;
	spec.ncolumns = table->ncolumns;
	spec.columns = table->columns;
	spec.is_key = is_key;
	return target::open_target(spec, parent);
}

void
close_route_target(Route *route)
{
	if (route->target != nullptr)
		target::close_target(route->target);
	route->target = nullptr;
}

bool
is_spooling(const Route *route)
{
	switch (route->table->state)
	{
		case state::TableState::copying:
		case state::TableState::catching_up:
		case state::TableState::paused:
		case state::TableState::failed:
			return true;
		case state::TableState::queued:
		case state::TableState::streaming:
			return false;
	}
	return false;
}

} // namespace worker
