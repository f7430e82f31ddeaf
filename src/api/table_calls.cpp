/*
 * api/table_calls.cpp
 *
 * What is done to one table of a connector.
 */
#include "api/call.hpp"
#include "state/event.hpp"
#include "state/synced_table.hpp"
#include "worker/registry.hpp"

using namespace base;

namespace api
{
namespace
{

/* 'schema.table' as the views show it; ERROR when the connector has none of that name. */
state::SyncedTable *
find_table(const state::Connector *connector, const char *name)
{
	begin_sql();
	int64 id = run_sql("SELECT id FROM livesync.synced_table WHERE connector_id = $1 "
					   "AND source_schema || '.' || source_name = $2 AND NOT released",
					   {int_value(connector->id), text_value(name)}) > 0
				   ? get_bigint(0, 1)
				   : 0;

	end_sql();
	state::SyncedTable *table = id != 0 ? state::load_table(id, state::RowLock::update) : nullptr;

	if (table == nullptr)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("connector \"%s\" has no table \"%s\"", connector->name, name),
						errhint("Give the table's name at the source, with its schema: the view "
								"livesync.tables lists them.")));
	return table;
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_retry_table);

PGDLLEXPORT Datum
livesync_retry_table(PG_FUNCTION_ARGS)
{
	worker::require_preloaded();
	state::Connector *connector =
		api::find_connector(api::required_argument(fcinfo, 0, "connector"));
	char *name = api::required_argument(fcinfo, 1, "source_table");
	state::SyncedTable *table = api::find_table(connector, name);

	if (!state::leave_failed(table->id))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" has not failed", name),
						errdetail("Its state is %s.", state::state_name(table->state))));
	state::record_event(connector->name, name, "table_retried", nullptr);
	worker::look_at_transaction_end(connector->id);
	PG_RETURN_VOID();
}
}
