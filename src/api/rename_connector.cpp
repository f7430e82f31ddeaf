/*
 * api/rename_connector.cpp
 *
 * Another name for a connector.  Only the name is another: slot, origin and publication were named when they were made,
 * and names of theirs may stand in configurations at the source.
 */
#include "api/call.hpp"
#include "state/event.hpp"
#include "worker/registry.hpp"

using namespace base;

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_rename_connector);

PGDLLEXPORT Datum
livesync_rename_connector(PG_FUNCTION_ARGS)
{
	worker::require_preloaded();
	state::Connector *connector = api::find_connector(api::required_argument(fcinfo, 0, "name"));
	char *new_name = api::required_argument(fcinfo, 1, "new_name");
	Role caller = become_extension();

	api::check_new_name(new_name);
	if (!state::rename_connector(connector, new_name))
		api::raise_dropped(connector->name);
	state::record_event(new_name, nullptr, "connector_renamed",
						psprintf("Its name was \"%s\".", connector->name));
	worker::look_at_transaction_end(connector->id);
	restore_role(caller);
	PG_RETURN_VOID();
}
}
