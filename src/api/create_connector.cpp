/*
 * api/create_connector.cpp
 *
 * livesync.create_connector(): what can be checked at once is, here and at the source; workers make the slot and all else when
 * the transaction has committed.
 */
#include "api/call.hpp"
#include "api/connector_arguments.hpp"
#include "source/catalog.hpp"
#include "source/prerequisites.hpp"
#include "source/slot.hpp"
#include "state/event.hpp"
#include "worker/listing.hpp"
#include "worker/registry.hpp"
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

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_create_connector);

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
	check_copy_workers(config.copy_workers);
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
}
