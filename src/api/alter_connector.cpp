/*
 * api/alter_connector.cpp
 *
 * livesync.alter_connector(): what is not NULL is changed; a new address and new publications are tried at once.
 */
#include "api/call.hpp"
#include "api/connector_arguments.hpp"
#include "source/catalog.hpp"
#include "source/prerequisites.hpp"
#include "state/event.hpp"
#include "worker/registry.hpp"
#include "worker/source_address.hpp"

using namespace base;

namespace api
{
namespace
{

/* The new list is used once decoding stands behind this position: there, its publications exist. */
XLogRecPtr
look_at_publications(const state::Connector *config, int count, char **publications)
{
	source::Connection *control = source::open_connection(
		worker::address_of(config), config->slot_name, source::Purpose::control);

	source::check_prerequisites(control, count, publications, false);
	XLogRecPtr position = source::wait_source_flushed(control);

	source::close_connection(control);
	return position;
}

/* Raises what is wrong with it. */
void
try_source(state::Connector *connector)
{
	source::Connection *control = source::open_connection(
		worker::address_of(connector), connector->slot_name, source::Purpose::control);

	worker::keep_host_key(connector, control);
	refuse_this_database(connector, control);
	source::close_connection(control);
}

void
change_source(const state::Connector *connector)
{
	run_alone("UPDATE livesync.connector SET source = $2, owner = $3, ssh_tunnel = $4, "
			  "ssh_known_hosts = $5, unreadable_types = '{}' WHERE id = $1",
			  {int_value(connector->id), text_value(connector->source), oid_value(connector->owner),
			   text_value(connector->ssh_tunnel), text_value(connector->ssh_known_hosts)});
	/* who has it sees its history */
	run_alone("UPDATE livesync.event SET owner = $2 WHERE connector = $1 AND owner <> $2",
			  {text_value(connector->name), oid_value(connector->owner)});
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_alter_connector);

PGDLLEXPORT Datum
livesync_alter_connector(PG_FUNCTION_ARGS)
{
	using namespace api;

	HiddenStatement hidden;

	begin_hidden_statement(&hidden);
	worker::require_preloaded();
	state::Connector *connector = find_connector(required_argument(fcinfo, 0, "name"));
	char *new_source = text_argument(fcinfo, 1);
	if (new_source != nullptr)
		check_source_argument(new_source);

	int count;
	char **publications = text_array_argument(fcinfo, 2, "publications", &count);
	char *new_owner = text_argument(fcinfo, 4);
	char *new_tunnel = text_argument(fcinfo, 5);
	Oid owner = new_owner ? find_new_owner(new_owner) : connector->owner;

	if (new_tunnel != nullptr)
		set_tunnel(connector, new_tunnel);
	Role caller = become_extension();

	if (new_source != nullptr || new_owner != nullptr || new_tunnel != nullptr)
	{
		connector->source = new_source ? new_source : connector->source;
		connector->owner = owner;
		source::check_address({connector->source, owner});
		change_source(connector);
	}
	if (new_source != nullptr || new_tunnel != nullptr)
		try_source(connector);
	if (publications != nullptr)
		run_alone(
			"UPDATE livesync.connector SET next_publications = $2, next_lsn = $3 WHERE id = $1",
			{int_value(connector->id), text_array_value(count, publications),
			 lsn_value(look_at_publications(connector, count, publications))});
	if (!PG_ARGISNULL(3))
	{
		check_copy_workers(PG_GETARG_INT32(3));
		run_alone("UPDATE livesync.connector SET copy_workers = $2 WHERE id = $1",
				  {int_value(connector->id), int_value(PG_GETARG_INT32(3))});
	}
	if (!PG_ARGISNULL(6))
	{
		check_schema_changes(text_argument(fcinfo, 6));
		run_alone("UPDATE livesync.connector SET schema_changes = $2 WHERE id = $1",
				  {int_value(connector->id), text_value(text_argument(fcinfo, 6))});
	}
	state::record_event(connector->name, nullptr, "connector_altered", nullptr);
	worker::look_at_transaction_end(connector->id);
	restore_role(caller);
	end_hidden_statement(&hidden);
	PG_RETURN_VOID();
}
}
