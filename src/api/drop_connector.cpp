/*
 * api/drop_connector.cpp
 *
 * livesync.drop_connector(): slot and publication are noted as left at the source; the sweeper removes them when this has
 * committed, see state/cleanup.hpp.
 */
#include "api/call.hpp"
#include "source/connection.hpp"
#include "state/cleanup.hpp"
#include "state/event.hpp"
#include "target/origin.hpp"
#include "worker/left_indexes.hpp"
#include "worker/registry.hpp"
#include "worker/resync.hpp"
#include "worker/source_address.hpp"

using namespace base;

namespace api
{
namespace
{

/*
 * The row came with a copy of the database: the slot and the publication belong to the original.  Only
 * the database that made the slot has its origin.
 */
bool
is_copy(const state::Connector *connector)
{
	wire::Lsn position;

	return connector->slot_lsn != InvalidXLogRecPtr &&
		   !target::read_origin(state::origin_name(connector->id), &position);
}

void
delete_connector(const state::Connector *connector)
{
	state::SyncedTables list = state::load_tables(connector->id);

	worker::drop_shadows(connector->id);
	for (int i = 0; i < list.count; i++)
		if (list.tables[i]->shadow_of == 0)
			worker::settle_left_indexes(connector->name, list.tables[i]);
	if (run_alone("DELETE FROM livesync.connector WHERE id = $1", {int_value(connector->id)}) == 0)
		raise_dropped(connector->name);
}

void
drop_copy(const state::Connector *connector)
{
	worker::hold_connector(connector->id);
	state::record_event(connector->name, nullptr, "connector_dropped", nullptr);
	delete_connector(connector);
	ereport(
		WARNING,
		(errmsg("replication slot \"%s\" was left at the source", connector->slot_name),
		 errdetail("The replication origin of the connector does not exist, so this is a copy of "
				   "the database that made the slot."),
		 errhint("If the original does not exist any more, drop the slot%s at the source.",
				 connector->own_publication != nullptr ? " and the publication" : "")));
}

void
drop_original(const state::Connector *connector, bool force)
{
	if (!force && connector->slot_lsn != InvalidXLogRecPtr)
		/* raises what is wrong when the source cannot be reached */
		source::close_connection(source::open_connection(
			worker::address_of(connector), connector->slot_name, source::Purpose::control));
	worker::hold_connector(connector->id);

	state::Cleanup cleanup{};

	cleanup.connector = connector->name;
	cleanup.owner = connector->owner;
	cleanup.source = connector->source;
	cleanup.slot_name = connector->slot_name;
	cleanup.publication = connector->own_publication;
	cleanup.origin = state::origin_name(connector->id);
	cleanup.ssh_tunnel = connector->ssh_tunnel;
	cleanup.ssh_known_hosts = connector->ssh_known_hosts;
	state::add_cleanup(cleanup);
	state::record_event(connector->name, nullptr, "connector_dropped", nullptr);
	delete_connector(connector);
	worker::look_at_transaction_end(worker::kSweeper);
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_drop_connector);

PGDLLEXPORT Datum
livesync_drop_connector(PG_FUNCTION_ARGS)
{
	worker::require_preloaded();
	state::Connector *connector = api::find_connector(api::required_argument(fcinfo, 0, "name"));
	bool force = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	Role caller = become_extension();

	if (connector->enabled)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("connector \"%s\" is not paused", connector->name),
						errhint("Call livesync.pause_connector() first.")));
	if (api::is_copy(connector))
		api::drop_copy(connector);
	else
		api::drop_original(connector, force);
	restore_role(caller);
	PG_RETURN_VOID();
}
}
