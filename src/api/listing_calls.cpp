/*
 * api/listing_calls.cpp
 *
 * add_table and remove_table: which tables a connector syncs, and where they go.  The call records it in a listing, the
 * connector worker does it.
 *
 * Surprising: a table that was removed a moment ago is still synced until the worker has seen it.  Adding it again, in
 * the same transaction even, is right: it then begins anew, perhaps with another target.
 */
#include "api/call.hpp"
#include "api/check.hpp"
#include "base/table_name.hpp"
#include "source/catalog.hpp"
#include "source/slot.hpp"
#include "state/event.hpp"
#include "state/listing.hpp"
#include "target/relation.hpp"
#include "worker/registry.hpp"
#include "worker/source_address.hpp"

using namespace base;

namespace api
{
namespace
{

TableName
one_table(const char *text_form)
{
	TableName name = parse_table_name(text_form);

	if (name.every || name.schema[0] == '\0' || name.name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
						errmsg("\"%s\" is not the name of one table with its schema", text_form),
						errhint("Write schema.table.")));
	return name;
}

/* Is it a synced table that stays one? */
bool
is_synced(const state::Connector *connector, const TableName &name, char **target)
{
	SqlScope scope = begin_sql();
	bool found =
		run_sql("SELECT t.target_schema || '.' || t.target_name "
				"FROM livesync.synced_table t WHERE t.connector_id = $1 "
				"AND t.source_schema = $2 AND t.source_name = $3 AND NOT t.released "
				"AND NOT EXISTS (SELECT FROM livesync.listing l WHERE l.connector_id = $1 "
				"AND l.source_schema = $2 AND l.source_name = $3 "
				"AND l.state IN ('withdraw', 'left_out'))",
				{int_value(connector->id), text_value(name.schema), text_value(name.name)}) > 0;

	*target = found ? get_text(scope, 0, 1) : nullptr;
	end_sql();
	return found;
}

void
check_not_synced(const state::Connector *connector, const TableName &name)
{
	const state::Listing *listing = state::find_listing(connector->id, name.schema, name.name);
	char *target;

	if (is_synced(connector, name, &target))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("connector \"%s\" syncs table \"%s.%s\" already", connector->name,
						name.schema, name.name),
				 errdetail("Its target is \"%s\".", target),
				 errhint("To sync it anew or to another target, call livesync.remove_table() "
						 "first.")));
	if (listing != nullptr && (listing->state == state::ListingState::publish ||
							   listing->state == state::ListingState::add))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("table \"%s.%s\" is being added to connector \"%s\" already",
							   name.schema, name.name, connector->name)));
}

/* Two source tables in one target would undo each other's rows, whichever connectors bring them. */
void
check_target_is_free(const state::Connector *connector, const TableName &from,
					 const TableName &target)
{
	SqlScope scope = begin_sql();

	if (run_sql("SELECT c.name, o.source_schema || '.' || o.source_name FROM livesync.connector c "
				"JOIN (SELECT connector_id, source_schema, source_name, target_schema, target_name "
				"FROM livesync.synced_table t WHERE NOT released AND NOT EXISTS "
				"(SELECT FROM livesync.listing l WHERE l.connector_id = t.connector_id "
				"AND l.source_schema = t.source_schema AND l.source_name = t.source_name "
				"AND l.state <> 'listed') "
				"UNION ALL SELECT l.connector_id, l.source_schema, l.source_name, "
				"coalesce(l.target_schema, k.target_schema, l.source_schema), "
				"coalesce(l.target_name, l.source_name) FROM livesync.listing l "
				"JOIN livesync.connector k ON k.id = l.connector_id "
				"WHERE l.state IN ('publish', 'add')) o ON o.connector_id = c.id "
				"WHERE o.target_schema = $1 AND o.target_name = $2 "
				"AND (c.id, o.source_schema, o.source_name) <> ($3, $4, $5) LIMIT 1",
				{text_value(target.schema), text_value(target.name), int_value(connector->id),
				 text_value(from.schema), text_value(from.name)}) > 0)
	{
		char *other = get_text(scope, 0, 1);
		char *table = get_text(scope, 0, 2);

		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("\"%s.%s\" is the target of another table", target.schema, target.name),
				 errdetail("Connector \"%s\" writes table \"%s\" to it.", other, table),
				 errhint("Give another target_table, or remove the other table first.")));
	}
	end_sql();
}

void
check_target(const state::Connector *connector, const TableName &from, const TableName &target)
{
	if (IsReservedName(target.schema) || strcmp(target.schema, "information_schema") == 0 ||
		strcmp(target.schema, "livesync") == 0)
		ereport(ERROR, (errcode(ERRCODE_RESERVED_NAME),
						errmsg("schema \"%s\" cannot hold target tables", target.schema)));
	check_target_is_free(connector, from, target);
	if (!connector->create_tables && !target::table_exists(target.schema, target.name))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("target table \"%s.%s\" does not exist", target.schema, target.name),
						errdetail("The connector was made with create_tables => false."),
						errhint("Create the table first.")));
}

bool
is_published(source::Connection *control, const state::Connector *connector, const TableName &name)
{
	source::PublishedTables published = source::read_published_tables(
		source::query(control, source::published_tables_sql(control, connector->npublications,
															connector->publications)));

	for (int i = 0; i < published.count; i++)
		if (strcmp(published.tables[i].schema, name.schema) == 0 &&
			strcmp(published.tables[i].name, name.name) == 0)
			return true;
	return false;
}

/* What the worker has to do first; ERROR when it could not do it. */
state::ListingState
look_at_table(const state::Connector *connector, const char *text_form, const TableName &name)
{
	source::Connection *control = source::open_connection(
		worker::address_of(connector), connector->slot_name, source::Purpose::control);
	state::ListingState next = state::ListingState::add;

	source::check_wanted_tables(control, 1, &text_form);
	if (!is_published(control, connector, name))
	{
		if (!state::uses_own_publication(connector))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s.%s\" is not published", name.schema, name.name),
					 errdetail("The connector uses publications that are not its own."),
					 errhint("Run this at the source first: ALTER PUBLICATION %s ADD TABLE %s;",
							 quote_identifier(connector->publications[0]),
							 quote_qualified_identifier(name.schema, name.name))));
		source::check_may_publish(control, name.schema, name.name);
		next = state::ListingState::publish;
	}
	warn_without_key(control, text_form);
	source::close_connection(control);
	return next;
}

void
check_hypertable_arguments(const state::Listing &listing)
{
	const char *column = listing.hypertable_column;

	if (column == nullptr && listing.chunk_interval != nullptr)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("chunk_interval needs a hypertable_column")));
	if (column != nullptr && !OidIsValid(get_extension_oid("timescaledb", true)))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("the target cannot be made a hypertable"),
						errdetail("The extension timescaledb is not installed in this database."),
						errhint("Install it, or leave hypertable_column out.")));
}

/* As the views show it, among the synced tables and those that are being added. */
state::Listing
find_addition(const state::Connector *connector, const char *name)
{
	SqlScope scope = begin_sql();
	state::Listing it{};

	if (run_sql("SELECT source_schema, source_name FROM livesync.synced_table "
				"WHERE connector_id = $1 AND source_schema || '.' || source_name = $2 "
				"AND NOT released UNION SELECT source_schema, source_name FROM livesync.listing "
				"WHERE connector_id = $1 AND source_schema || '.' || source_name = $2 "
				"AND state IN ('publish', 'add')",
				{int_value(connector->id), text_value(name)}) > 0)
	{
		it.schema = get_text(scope, 0, 1);
		it.name = get_text(scope, 0, 2);
	}
	end_sql();

	const state::Listing *listing =
		it.name != nullptr ? state::find_listing(connector->id, it.schema, it.name) : nullptr;

	if (it.name == nullptr || state::is_left_out(listing))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("connector \"%s\" has no table \"%s\"", connector->name, name),
						errhint("Give the table's name at the source, with its schema: the view "
								"livesync.tables lists them.")));
	it.copy_data = true;
	return it;
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_add_table);
PG_FUNCTION_INFO_V1(livesync_remove_table);

PGDLLEXPORT Datum
livesync_add_table(PG_FUNCTION_ARGS)
{
	using namespace api;

	worker::require_preloaded();
	state::Connector *connector = find_connector(required_argument(fcinfo, 0, "connector"));
	char *text_form = required_argument(fcinfo, 1, "source_table");
	char *target = text_argument(fcinfo, 2);
	TableName name = one_table(text_form);
	TableName usual = {connector->target_schema ? connector->target_schema : name.schema, name.name,
					   false};
	state::Listing listing{};

	listing.hypertable_column = text_argument(fcinfo, 4);
	if (!PG_ARGISNULL(5))
		listing.chunk_interval =
			DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(5)));
	check_hypertable_arguments(listing);
	listing.schema = name.schema;
	listing.name = name.name;
	listing.copy_data = PG_ARGISNULL(3) || PG_GETARG_BOOL(3);
	if (target != nullptr)
	{
		usual = one_table(target);
		listing.target_schema = usual.schema;
		listing.target_name = usual.name;
	}
	Role caller = become_extension();

	/* one call after the other: what is checked must still hold when this commits */
	LockDatabaseObject(ExtensionRelationId, get_extension_oid("pg_livesync", false), 0,
					   ExclusiveLock);
	check_not_synced(connector, name);
	check_target(connector, name, usual);
	listing.state = look_at_table(connector, text_form, name);
	state::record_listing(connector->id, listing);
	state::record_event(connector->name, psprintf("%s.%s", name.schema, name.name),
						"table_add_wanted", psprintf("to %s.%s", usual.schema, usual.name));
	worker::look_at_transaction_end(connector->id);
	restore_role(caller);
	PG_RETURN_VOID();
}

PGDLLEXPORT Datum
livesync_remove_table(PG_FUNCTION_ARGS)
{
	using namespace api;

	worker::require_preloaded();
	state::Connector *connector = find_connector(required_argument(fcinfo, 0, "connector"));
	char *name = required_argument(fcinfo, 1, "source_table");
	Role caller = become_extension();
	state::Listing listing = find_addition(connector, name);

	listing.state = state::uses_own_publication(connector) ? state::ListingState::withdraw
														   : state::ListingState::left_out;
	state::record_listing(connector->id, listing);
	state::record_event(connector->name, name, "table_remove_wanted", nullptr);
	worker::look_at_transaction_end(connector->id);
	restore_role(caller);
	PG_RETURN_VOID();
}
}
