/*
 * api/wait_calls.cpp
 *
 * Waiting for a state, for scripts and tests.
 */
#include "api/call.hpp"
#include "source/catalog.hpp"
#include "worker/registry.hpp"
#include "worker/source_address.hpp"

using namespace base;

namespace api
{
namespace
{

struct SyncGoal
{
	int connector_id; /* 0: all that this role may manage */
	Oid caller;
};

bool
is_synced(void *context)
{
	const SyncGoal *goal = (const SyncGoal *) context;

	begin_sql();
	run_sql(
		"SELECT NOT EXISTS (SELECT FROM livesync.connector c WHERE ($1 = 0 OR c.id = $1) "
		"AND pg_has_role($2, c.owner, 'USAGE') AND (c.listed_at IS NULL OR EXISTS (SELECT FROM livesync.synced_table t "
		"WHERE t.connector_id = c.id AND NOT t.released AND t.state <> 'streaming') "
		"OR EXISTS (SELECT FROM livesync.listing l WHERE l.connector_id = c.id "
		"AND l.state IN ('publish', 'add'))))",
		{int_value(goal->connector_id), oid_value(goal->caller)});
	bool reached = get_bool(0, 1);

	end_sql();
	return reached;
}

struct LsnGoal
{
	int connector_id;
	XLogRecPtr lsn;
};

/* Does a table that streamed before hold back changes from before that position? */
bool
has_parked(int connector_id, XLogRecPtr lsn)
{
	return run_alone("SELECT FROM livesync.synced_table WHERE connector_id = $1 AND NOT released "
					 "AND parked_lsn < $2 LIMIT 1",
					 {int_value(connector_id), lsn_value(lsn)}) > 0;
}

bool
is_applied(void *context)
{
	const LsnGoal *goal = (const LsnGoal *) context;
	worker::ConnectorEntry entry;

	return worker::read_entry(goal->connector_id, &entry) && entry.pid != 0 &&
		   entry.applied >= goal->lsn && !has_parked(goal->connector_id, goal->lsn);
}

XLogRecPtr
source_position(const state::Connector *connector)
{
	source::Connection *control = source::open_connection(
		worker::address_of(connector), connector->slot_name, source::Purpose::control);
	XLogRecPtr position = source::wait_source_flushed(control);

	source::close_connection(control);
	return position;
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_wait_for_sync);
PG_FUNCTION_INFO_V1(livesync_wait_for_lsn);

PGDLLEXPORT Datum
livesync_wait_for_sync(PG_FUNCTION_ARGS)
{
	worker::require_preloaded();
	char *name = api::text_argument(fcinfo, 0);
	api::SyncGoal goal{name ? api::find_connector(name)->id : 0, GetUserId()};
	Role caller = become_extension();
	bool reached = api::wait_until(api::is_synced, &goal, api::timeout_argument(fcinfo, 1));

	restore_role(caller);
	PG_RETURN_BOOL(reached);
}

PGDLLEXPORT Datum
livesync_wait_for_lsn(PG_FUNCTION_ARGS)
{
	worker::require_preloaded();
	char *name = api::text_argument(fcinfo, 0);

	if (name == nullptr)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the name of a connector must be given")));
	state::Connector *connector = api::find_connector(name);
	api::LsnGoal goal{connector->id,
					  PG_ARGISNULL(1) ? api::source_position(connector) : PG_GETARG_LSN(1)};
	Role caller = become_extension();
	bool reached = api::wait_until(api::is_applied, &goal, api::timeout_argument(fcinfo, 2));

	restore_role(caller);
	PG_RETURN_BOOL(reached);
}
}
