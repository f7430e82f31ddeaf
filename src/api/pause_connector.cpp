/*
 * api/pause_connector.cpp
 *
 * livesync.pause_connector() returns when nothing is applied any more; livesync.resume_connector() lets it go on at its commit.
 */
#include "api/call.hpp"
#include "state/event.hpp"
#include "worker/registry.hpp"

using namespace base;

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_pause_connector);
PG_FUNCTION_INFO_V1(livesync_resume_connector);

PGDLLEXPORT Datum
livesync_pause_connector(PG_FUNCTION_ARGS)
{
	worker::require_preloaded();
	state::Connector *connector = api::find_connector(api::required_argument(fcinfo, 0, "name"));
	Role caller = become_extension();

	run_alone("UPDATE livesync.connector SET enabled = false WHERE id = $1",
			  {int_value(connector->id)});
	worker::hold_connector(connector->id);
	if (connector->enabled)
		state::record_event(connector->name, nullptr, "connector_paused", nullptr);
	restore_role(caller);
	PG_RETURN_VOID();
}

PGDLLEXPORT Datum
livesync_resume_connector(PG_FUNCTION_ARGS)
{
	worker::require_preloaded();
	state::Connector *connector = api::find_connector(api::required_argument(fcinfo, 0, "name"));
	Role caller = become_extension();

	run_alone(
		"UPDATE livesync.connector SET enabled = true, last_error = NULL, hint = NULL WHERE id = $1",
		{int_value(connector->id)});
	if (!connector->enabled)
		state::record_event(connector->name, nullptr, "connector_resumed", nullptr);
	worker::claim_place(connector->id);
	restore_role(caller);
	PG_RETURN_VOID();
}
}
