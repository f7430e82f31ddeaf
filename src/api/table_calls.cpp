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

/* The two arguments that all of these calls have; until its end a call is the extension itself. */
struct TableCall
{
	state::Connector *connector;
	char *name;
	Role caller;
};

TableCall
begin_call(FunctionCallInfo fcinfo)
{
	worker::require_preloaded();

	state::Connector *connector = find_connector(required_argument(fcinfo, 0, "connector"));

	return TableCall{connector, required_argument(fcinfo, 1, "source_table"), become_extension()};
}

void
end_call(const TableCall &call, const char *event)
{
	state::record_event(call.connector->name, call.name, event, nullptr);
	worker::look_at_transaction_end(call.connector->id);
	restore_role(call.caller);
}

/* A failed table that is just being tried again counts: its error stands until it is known to be mended. */
bool
has_failed(const state::SyncedTable *table)
{
	return table->state == state::TableState::failed ||
		   (table->state == state::TableState::catching_up && table->last_error != nullptr);
}

[[noreturn]] void
raise_not_failed(const TableCall &call, const state::SyncedTable *table)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("table \"%s\" has not failed", call.name),
					errdetail("Its state is %s.", state::state_name(table->state))));
}

bool
may_pause(state::TableState state)
{
	switch (state)
	{
		case state::TableState::copying:
		case state::TableState::catching_up:
		case state::TableState::streaming:
			return true;
		case state::TableState::queued:
		case state::TableState::paused:
		case state::TableState::failed:
			return false;
	}
	return false;
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_retry_table);
PG_FUNCTION_INFO_V1(livesync_skip_change);
PG_FUNCTION_INFO_V1(livesync_pause_table);
PG_FUNCTION_INFO_V1(livesync_resume_table);
PG_FUNCTION_INFO_V1(livesync_resync_table);

PGDLLEXPORT Datum
livesync_retry_table(PG_FUNCTION_ARGS)
{
	api::TableCall call = api::begin_call(fcinfo);
	state::SyncedTable *table = api::find_table(call.connector, call.name, state::RowLock::update);

	if (!state::leave_failed(table->id))
		api::raise_not_failed(call, table);
	api::end_call(call, "table_retried");
	PG_RETURN_VOID();
}

PGDLLEXPORT Datum
livesync_skip_change(PG_FUNCTION_ARGS)
{
	api::TableCall call = api::begin_call(fcinfo);
	/* the row lock keeps the table from streaming before the wish is seen */
	state::SyncedTable *table = api::find_table(call.connector, call.name, state::RowLock::update);

	if (!api::has_failed(table))
		api::raise_not_failed(call, table);
	if (table->came_from != state::TableState::streaming &&
		table->came_from != state::TableState::catching_up)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" has no change that fails", call.name),
						errdetail("It failed before or while its rows were copied: %s",
								  table->last_error ? table->last_error : ""),
						errhint("Mend the cause, then call livesync.retry_table().")));
	if (!state::make_wish(table->id, state::Wish::skip))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("another call for table \"%s\" has not been carried out yet", call.name),
				 errhint("livesync.events tells when it is.")));
	api::end_call(call, "change_skip_wanted");
	PG_RETURN_VOID();
}

PGDLLEXPORT Datum
livesync_pause_table(PG_FUNCTION_ARGS)
{
	api::TableCall call = api::begin_call(fcinfo);
	state::SyncedTable *table = api::find_table(call.connector, call.name, state::RowLock::none);

	/* waits for other calls; the worker may have fulfilled theirs, so look at the state after it */
	if (!state::make_wish(table->id, state::Wish::pause))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("another call for table \"%s\" has not been carried out yet", call.name),
				 errdetail("A pause is made between two transactions of the source, when "
						   "no chunk of the table is being loaded.")));
	table = api::find_table(call.connector, call.name, state::RowLock::none);
	if (!api::may_pause(table->state))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" cannot be paused now", call.name),
						errdetail("Its state is %s.", state::state_name(table->state))));
	api::end_call(call, "table_pause_wanted");
	PG_RETURN_VOID();
}

PGDLLEXPORT Datum
livesync_resume_table(PG_FUNCTION_ARGS)
{
	api::TableCall call = api::begin_call(fcinfo);
	state::SyncedTable *table = api::find_table(call.connector, call.name, state::RowLock::none);

	/* a pause that was not made yet is just not made */
	if (!state::cancel_wish(table->id, state::Wish::pause))
	{
		table = api::find_table(call.connector, call.name, state::RowLock::update);
		if (!state::leave_paused(table->id))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("table \"%s\" is not paused", call.name),
							errdetail("Its state is %s.", state::state_name(table->state))));
	}
	api::end_call(call, "table_resumed");
	PG_RETURN_VOID();
}

PGDLLEXPORT Datum
livesync_resync_table(PG_FUNCTION_ARGS)
{
	api::TableCall call = api::begin_call(fcinfo);
	state::SyncedTable *table = api::find_table(call.connector, call.name, state::RowLock::none);

	if (!state::may_resync(table))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" cannot be copied again now", call.name),
						errdetail("Its state is %s.", state::state_name(table->state))));
	if (!state::add_shadow(table->id))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" is being copied again already", call.name),
						errhint("livesync.tables shows how far it is.")));
	api::end_call(call, "table_resync_wanted");
	PG_RETURN_VOID();
}
}
