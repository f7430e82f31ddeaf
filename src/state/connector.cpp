/*
 * state/connector.cpp
 *
 * See connector.hpp.
 */
#include "state/connector.hpp"

using namespace base;

namespace state
{
namespace
{

#define CONNECTOR_COLUMNS                                                                          \
	"SELECT id, name, source, publications, own_publication, wanted_tables, copy_data, "           \
	"copy_workers, create_tables, target_schema, enabled, slot_name, slot_lsn, source_system, "    \
	"source_timeline, listed_at, next_publications, next_lsn, owner, "                             \
	"ssh_tunnel, ssh_known_hosts, (SELECT k.private_key FROM livesync.ssh_key k "                  \
	"WHERE ssh_tunnel IS NOT NULL), schema_changes, missed_publication FROM livesync.connector "

Connector *
read_row(const SqlScope &scope)
{
	Connector *it = (Connector *) MemoryContextAllocZero(scope.caller, sizeof(Connector));

	it->id = get_int(0, 1);
	it->name = get_text(scope, 0, 2);
	it->source = get_text(scope, 0, 3);
	it->publications = get_text_array(scope, 0, 4, &it->npublications);
	it->own_publication = get_text(scope, 0, 5);
	it->wanted_tables = get_text_array(scope, 0, 6, &it->nwanted_tables);
	it->copy_data = get_bool(0, 7);
	it->copy_workers = get_int(0, 8);
	it->create_tables = get_bool(0, 9);
	it->target_schema = get_text(scope, 0, 10);
	it->enabled = get_bool(0, 11);
	it->slot_name = get_text(scope, 0, 12);
	it->slot_lsn = get_lsn(0, 13);
	it->source_system = get_text(scope, 0, 14);
	it->source_timeline = (uint32) get_bigint(0, 15);
	it->is_listed = !is_null(0, 16);
	it->next_publications = get_text_array(scope, 0, 17, &it->nnext_publications);
	it->next_lsn = get_lsn(0, 18);
	it->owner = get_oid(0, 19);
	it->ssh_tunnel = get_text(scope, 0, 20);
	it->ssh_known_hosts = get_text(scope, 0, 21);
	it->ssh_private_key = get_text(scope, 0, 22);
	it->schema_changes = get_text(scope, 0, 23);
	it->missed_publication = get_bool(0, 24);
	return it;
}

Connector *
load(const char *sql, const Parameter &key)
{
	SqlScope scope = begin_sql();
	Connector *connector = run_sql(sql, {key}) == 1 ? read_row(scope) : nullptr;

	end_sql();
	return connector;
}

} // namespace

Connector *
load_connector(int id)
{
	return load(CONNECTOR_COLUMNS "WHERE id = $1", int_value(id));
}

Connector *
load_connector_by_name(const char *name)
{
	return load(CONNECTOR_COLUMNS "WHERE name = $1", text_value(name));
}

char *
origin_name(int connector_id)
{
	return psprintf("livesync_%u_%d", MyDatabaseId, connector_id);
}

bool
rename_connector(const Connector *connector, const char *new_name)
{
	if (run_alone("UPDATE livesync.connector SET name = $3 WHERE id = $1 AND name = $2",
				  {int_value(connector->id), text_value(connector->name), text_value(new_name)}) !=
		1)
		return false;
	rename_events(load_connector(connector->id), connector->name);
	return true;
}

void
rename_events(const Connector *connector, const char *old_name)
{
	/* an older connector may have had the name; a newer one may have it */
	run_alone("UPDATE livesync.event SET connector = $2 WHERE connector = $3 AND at >= "
			  "(SELECT created_at FROM livesync.connector WHERE id = $1) "
			  "AND NOT EXISTS (SELECT FROM livesync.connector WHERE name = $3)",
			  {int_value(connector->id), text_value(connector->name), text_value(old_name)});
}

void
record_slot(int id, XLogRecPtr slot_lsn)
{
	run_alone("UPDATE livesync.connector SET slot_lsn = $2 WHERE id = $1",
			  {int_value(id), lsn_value(slot_lsn)});
}

void
record_own_publication(int id, const char *name)
{
	run_alone("UPDATE livesync.connector SET own_publication = $2, publications = ARRAY[$2] "
			  "WHERE id = $1",
			  {int_value(id), text_value(name)});
}

void
record_source(int id, const char *system, uint32 timeline)
{
	run_alone(
		"UPDATE livesync.connector SET source_system = $2, source_timeline = $3 WHERE id = $1",
		{int_value(id), text_value(system), bigint_value(timeline)});
}

void
record_listed(int id)
{
	run_alone("UPDATE livesync.connector SET listed_at = pg_catalog.clock_timestamp() "
			  "WHERE id = $1 AND listed_at IS NULL",
			  {int_value(id)});
}

bool
uses_own_publication(const Connector *connector)
{
	for (int i = 0; connector->own_publication != nullptr && i < connector->npublications; i++)
		if (strcmp(connector->publications[i], connector->own_publication) == 0)
			return true;
	return false;
}

bool
try_record_wanted_tables(const Connector *connector, int count, char **tables)
{
	return run_alone("UPDATE livesync.connector SET wanted_tables = $2 WHERE id IN "
					 "(SELECT id FROM livesync.connector WHERE id = $1 "
					 "FOR NO KEY UPDATE SKIP LOCKED)",
					 {int_value(connector->id), text_array_value(count, tables)}) == 1;
}

void
record_ssh_host(int id, const char *known_hosts)
{
	run_alone("UPDATE livesync.connector SET ssh_known_hosts = $2 WHERE id = $1",
			  {int_value(id), text_value(known_hosts)});
}

void
switch_publications(int id)
{
	run_alone("UPDATE livesync.connector SET publications = next_publications, "
			  "next_publications = NULL, next_lsn = NULL WHERE id = $1 AND next_lsn IS NOT NULL",
			  {int_value(id)});
}

void
record_connector_error(int id, const char *error, const char *hint)
{
	run_alone("UPDATE livesync.connector SET last_error = $2, hint = $3 WHERE id = $1",
			  {int_value(id), text_value(error), text_value(hint)});
}

void
clear_connector_error(int id)
{
	run_alone("UPDATE livesync.connector SET last_error = NULL, hint = NULL "
			  "WHERE id = $1 AND last_error IS NOT NULL",
			  {int_value(id)});
}

void
record_missed_publication(int id, bool is_missed)
{
	run_alone("UPDATE livesync.connector SET missed_publication = $2 WHERE id = $1",
			  {int_value(id), bool_value(is_missed)});
}

bool
is_installed()
{
	return OidIsValid(get_extension_oid("pg_livesync", true));
}

} // namespace state
