/*
 * api/refresh_connector.cpp
 *
 * livesync.refresh_connector(): asks the worker for a fresh look at the source, and waits until it has looked.
 *
 * A worker that fails starts again by itself, and may look well the next time: so that is told, and waited for.  One that is
 * paused or dropped meanwhile will never look.
 */
#include "api/call.hpp"
#include "worker/registry.hpp"

using namespace base;

namespace api
{
namespace
{

struct Refresh
{
	int connector_id;
	const char *name;
	uint32 request;
	bool has_told;
};

void
tell_failure(Refresh *it, const SqlScope &scope)
{
	if (it->has_told || is_null(0, 2))
		return;
	it->has_told = true;
	ereport(WARNING,
			(errmsg("connector \"%s\" is failing", it->name),
			 errdetail("%s", get_text(scope, 0, 2)),
			 errhint("This call goes on waiting until the connector has looked at its source.")));
}

void
check_is_running(Refresh *it)
{
	Role caller = become_extension();
	SqlScope scope = begin_sql();

	if (run_sql("SELECT enabled, last_error FROM livesync.connector WHERE id = $1",
				{int_value(it->connector_id)}) == 0)
		raise_dropped(it->name);
	if (!get_bool(0, 1))
		raise_paused(it->name, nullptr);
	tell_failure(it, scope);
	end_sql();
	restore_role(caller);
}

bool
is_done(void *context)
{
	Refresh *it = (Refresh *) context;

	if (worker::is_refreshed(it->connector_id, it->request))
		return true;
	check_is_running(it);
	return false;
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_refresh_connector);

PGDLLEXPORT Datum
livesync_refresh_connector(PG_FUNCTION_ARGS)
{
	worker::require_preloaded();
	state::Connector *connector = api::find_connector(api::required_argument(fcinfo, 0, "name"));
	api::Refresh it{connector->id, connector->name, worker::request_refresh(connector->id), false};

	(void) api::wait_until(api::is_done, &it, -1);
	PG_RETURN_VOID();
}
}
