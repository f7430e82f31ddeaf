/*
 * api/connector_calls.cpp
 *
 * create, alter, pause, resume, drop.  A call records what is wanted; workers do the rest when its
 * transaction has committed.  What can be checked at once is checked at once.
 */
#include "api/call.hpp"
#include "api/ssh_calls.hpp"
#include "source/catalog.hpp"
#include "source/prerequisites.hpp"
#include "source/slot.hpp"
#include "state/cleanup.hpp"
#include "state/event.hpp"
#include "target/origin.hpp"
#include "worker/left_indexes.hpp"
#include "worker/listing.hpp"
#include "worker/registry.hpp"
#include "worker/resync.hpp"
#include "worker/source_address.hpp"

using namespace base;

namespace api
{
namespace
{

/*
 * Slot names allow less than identifiers: the rest becomes an underscore, and the system makes it unique.  No two
 * connectors share one, of whatever database and time.
 */
char *
make_slot_name(const char *connector)
{
	constexpr int kRoom = NAMEDATALEN - (int) sizeof("livesync__4294967295_01234567");
	char *name = psprintf("livesync_%.*s_%u_%08x", kRoom, connector, MyDatabaseId,
						  (uint32) (GetSystemIdentifier() ^ (uint64) GetCurrentTimestamp()));

	for (char *at = name; *at; at++)
	{
		*at = pg_tolower((unsigned char) *at);
		if (!((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || *at == '_'))
			*at = '_';
	}
	return name;
}

void
check_schema_changes(const char *policy)
{
	if (strcmp(policy, "follow") != 0 && strcmp(policy, "stop") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("schema_changes must be follow or stop")));
}

/* 'schema.table' or 'schema.*' */
void
check_table_names(int count, char **tables)
{
	for (int i = 0; i < count; i++)
	{
		const char *dot = strchr(tables[i], '.');

		if (dot == nullptr || dot == tables[i] || dot[1] == '\0')
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_NAME),
					 errmsg("\"%s\" is not the name of a table with its schema", tables[i]),
					 errhint("Write schema.table, or schema.* for all tables of a schema.")));
	}
}

/* A renamed connector keeps the name for its publication, a dropped one until its source is cleaned up. */
bool
is_publication_ours(const char *name, int besides)
{
	return run_alone("SELECT FROM livesync.connector WHERE own_publication = $1 AND id <> $2 "
					 "UNION ALL SELECT FROM livesync.cleanup WHERE publication = $1",
					 {text_value(name), int_value(besides)}) > 0;
}

/* One that nobody else has: taking over a publication would mean its tables, and dropping it with the connector. */
char *
choose_publication(source::Connection *control, const state::Connector *config)
{
	char *name = psprintf("livesync_%s", config->name);

	for (int number = 2; is_publication_ours(name, config->id) ||
						 (control != nullptr && source::has_publication(control, name));
		 number++)
		name = psprintf("livesync_%s_%d", config->name, number);
	return name;
}

int
insert_connector(state::Connector *config)
{
	SqlScope scope = begin_sql();

	(void) scope;
	run_sql(
		"INSERT INTO livesync.connector (name, source, publications, own_publication, "
		"wanted_tables, copy_data, copy_workers, create_tables, target_schema, enabled, slot_name, owner, "
		"ssh_tunnel, schema_changes) VALUES ($1, $2, $3, $4, nullif($5, '{}'), $6, $7, $8, $9, $10, $11, $12, $13, $14) "
		"RETURNING id",
		{text_value(config->name), text_value(config->source),
		 text_array_value(config->npublications, config->publications),
		 text_value(config->own_publication),
		 text_array_value(config->nwanted_tables, config->wanted_tables),
		 bool_value(config->copy_data), int_value(config->copy_workers),
		 bool_value(config->create_tables), text_value(config->target_schema),
		 bool_value(config->enabled), text_value(config->slot_name), oid_value(config->owner),
		 text_value(config->ssh_tunnel), text_value(config->schema_changes)});
	int id = get_int(0, 1);

	end_sql();
	return id;
}

void
refuse_this_database(const state::Connector *connector, source::Connection *control)
{
	if (source::is_this_database(control))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the source of connector \"%s\" is this very database", connector->name),
				 errdetail("Each change that is applied would be another change to apply."),
				 errhint("Give the address and the database name of the source.")));
}

/* An empty connection string would be whatever the environment of this server says. */
void
check_source_argument(const char *source)
{
	if (source == nullptr || source[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a connector must have a source"),
				 errhint("Give a connection string, as for psql, or the name of a foreign "
						 "server.")));
}

/* A name that is cut off would be looked for in vain. */
void
check_target_schema(const char *schema)
{
	if (schema == nullptr)
		return;
	if (schema[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
						errmsg("argument \"target_schema\" must not be empty"),
						errhint("Leave it out to keep each table's schema.")));
	if (strlen(schema) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG), errmsg("schema name \"%s\" is too long", schema),
				 errdetail("At most %d bytes are allowed.", NAMEDATALEN - 1)));
}

/* Tables of publications that exist are listed at once, so that waiting for them means something. */
void
look_at_source(state::Connector *config)
{
	source::Connection *control = source::open_connection(
		worker::address_of(config), config->slot_name, source::Purpose::control);

	worker::keep_host_key(config, control);
	bool uses_own = config->own_publication != nullptr;

	refuse_this_database(config, control);
	source::check_prerequisites(control, uses_own ? 0 : config->npublications,
								uses_own ? nullptr : config->publications, true);
	if (uses_own)
	{
		source::check_wanted_tables(control, config->nwanted_tables, config->wanted_tables);
		config->own_publication = choose_publication(control, config);
		state::record_own_publication(config->id, config->own_publication);
	}
	else
	{
		source::PublishedTables published = source::read_published_tables(
			source::query(control, source::published_tables_sql(control, config->npublications,
																config->publications)));

		for (int i = 0; i < published.count; i++)
			worker::list_table(config, published.tables[i], nullptr, state::Phase::none);
	}
	source::close_connection(control);
}

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

/* An empty text: none.  What was known of the host is forgotten: it may have a new key. */
void
set_tunnel(state::Connector *connector, char *address)
{
	source::SshAccess access = ssh_access(address && address[0] != '\0' ? address : nullptr);

	connector->ssh_tunnel = const_cast<char *>(access.address);
	connector->ssh_known_hosts = nullptr;
	connector->ssh_private_key = const_cast<char *>(access.private_key);
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
PG_FUNCTION_INFO_V1(livesync_create_connector);
PG_FUNCTION_INFO_V1(livesync_alter_connector);
PG_FUNCTION_INFO_V1(livesync_pause_connector);
PG_FUNCTION_INFO_V1(livesync_resume_connector);
PG_FUNCTION_INFO_V1(livesync_drop_connector);

PGDLLEXPORT Datum
livesync_create_connector(PG_FUNCTION_ARGS)
{
	using namespace api;

	state::Connector config{};
	HiddenStatement hidden;

	begin_hidden_statement(&hidden);
	worker::require_preloaded();
	config.name = text_argument(fcinfo, 0);
	config.source = text_argument(fcinfo, 1);
	config.publications = text_array_argument(fcinfo, 2, "publications", &config.npublications);
	config.wanted_tables = text_array_argument(fcinfo, 3, "tables", &config.nwanted_tables);
	config.copy_data = PG_ARGISNULL(4) || PG_GETARG_BOOL(4);
	config.copy_workers = PG_ARGISNULL(5) ? 4 : PG_GETARG_INT32(5);
	config.create_tables = PG_ARGISNULL(6) || PG_GETARG_BOOL(6);
	config.target_schema = text_argument(fcinfo, 7);
	config.enabled = PG_ARGISNULL(8) || PG_GETARG_BOOL(8);
	config.schema_changes = PG_ARGISNULL(10) ? pstrdup("follow") : text_argument(fcinfo, 10);

	set_tunnel(&config, text_argument(fcinfo, 9));
	config.owner = GetUserId();

	Role caller = become_extension();

	check_new_name(config.name);
	check_source_argument(config.source);
	source::check_address({config.source, config.owner});
	if (config.copy_workers < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("copy_workers must be at least 1")));
	if (config.publications != nullptr && config.wanted_tables != nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("publications and tables cannot be given together"),
				 errhint("Give tables alone to let the connector make a publication of them.")));
	check_table_names(config.nwanted_tables, config.wanted_tables);
	check_target_schema(config.target_schema);
	check_schema_changes(config.schema_changes);
	config.slot_name = make_slot_name(config.name);
	if (config.publications == nullptr)
	{
		config.own_publication = choose_publication(nullptr, &config);
		config.npublications = 1;
		config.publications = &config.own_publication;
	}
	config.id = insert_connector(&config);
	if (config.enabled)
		look_at_source(&config);
	state::record_event(config.name, nullptr, "connector_created", nullptr);
	worker::claim_place(config.id);
	restore_role(caller);
	end_hidden_statement(&hidden);
	PG_RETURN_VOID();
}

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
		if (PG_GETARG_INT32(3) < 1)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("copy_workers must be at least 1")));
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
