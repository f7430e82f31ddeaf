/*
 * source/publication.cpp
 *
 * Owns: the publication that a connector makes for itself when the user named none.
 *
 *   no tables given     FOR ALL TABLES, or without the right to: every user table by name
 *   'schema.*'          TABLES IN SCHEMA (15 and later, superuser), or its tables by name
 *   'schema.table'      by name
 *
 * Surprising: by name means the tables of that moment; later ones are not published by themselves.
 * Partitions are left to their root, under whose name their changes are published.
 *
 * A publication's name says nothing of who made it: connectors of one name may be in two databases, and
 * a dropped one may still have to be removed when the next of its name is made.  So it bears a comment
 * with the name of the slot, which no two connectors share; only by that it is known as ours.
 */
#include "source/slot.hpp"

#include "base/table_name.hpp"
#include "source/result.hpp"

using base::parse_table_name;
using base::TableName;

namespace source
{
namespace
{

constexpr char kOptions[] = " WITH (publish = 'insert, update, delete, truncate', "
							"publish_via_partition_root = true)";

void
append_name(StringInfo list, const char *name)
{
	appendStringInfo(list, "%s%s", list->len > 0 ? ", " : "", name);
}

/*
 * Every table of the schema, or with NULL of all schemas, that is none of the server's own and no
 * partition of a table that is among them.
 */
void
append_tables(Connection *control, StringInfo list, const char *schema)
{
	PGresult *result = query(
		control,
		psprintf("SELECT n.nspname, c.relname FROM pg_class c "
				 "JOIN pg_namespace n ON n.oid = c.relnamespace "
				 "WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' "
				 "AND n.nspname !~ '^(pg_|_timescaledb_)' AND n.nspname <> 'information_schema' "
				 "AND (%s) AND (NOT c.relispartition OR n.oid <> (SELECT r.relnamespace "
				 "FROM pg_class r WHERE r.oid = pg_partition_root(c.oid)) AND %s) "
				 "ORDER BY 1, 2",
				 schema == nullptr ? "true" : psprintf("n.nspname = %s", quote_string(schema)),
				 schema == nullptr ? "false" : "true"));

	for (int row = 0; row < PQntuples(result); row++)
		append_name(list, quote_table(PQgetvalue(result, row, 0), PQgetvalue(result, row, 1)));
}

bool
publishes_schemas(Connection *control)
{
	if (control->server_version < 150000)
		return false;

	PGresult *result = query(control, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user");

	return PQntuples(result) > 0 && get_bool(result, 0, 0);
}

/* What follows FOR; "" when that is nothing. */
char *
list_members(Connection *control, int ntables, const char *const *tables)
{
	StringInfoData listed;
	StringInfoData schemas;
	bool by_schema = publishes_schemas(control);

	initStringInfo(&listed);
	initStringInfo(&schemas);
	if (ntables == 0)
		append_tables(control, &listed, nullptr);
	for (int i = 0; i < ntables; i++)
	{
		TableName table = parse_table_name(tables[i]);

		if (!table.every)
			append_name(&listed, quote_table(table.schema, table.name));
		else if (by_schema)
			append_name(&schemas, quote_name(table.schema));
		else
			append_tables(control, &listed, table.schema);
	}
	return psprintf("%s%s%s%s%s", listed.len > 0 ? "TABLE " : "", listed.data,
					listed.len > 0 && schemas.len > 0 ? ", " : "",
					schemas.len > 0 ? "TABLES IN SCHEMA " : "", schemas.data);
}

bool
has_state(PGresult *result, const char *sqlstate)
{
	return strcmp(result_sqlstate(result), sqlstate) == 0;
}

char *
mark_of(const char *slot_name)
{
	return psprintf("made by pg_livesync for replication slot %s", slot_name);
}

/* With its mark, in one transaction. */
PGresult *
try_create(Connection *control, const char *publication, const char *slot_name, const char *members)
{
	const char *name = quote_name(publication);

	return try_query(control,
					 psprintf("CREATE PUBLICATION %s%s%s%s; COMMENT ON PUBLICATION %s IS %s", name,
							  members[0] != '\0' ? " FOR " : "", members, kOptions, name,
							  quote_string(mark_of(slot_name))));
}

[[noreturn]] void
raise_not_created(Connection *control, PGresult *result, const char *publication)
{
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	/* The server's own message names the table, but not the way out. */
	if (has_state(result, "42501") && primary != nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("could not create the publication \"%s\" at the source: %s", publication,
						primary),
				 errdetail("Only the owner of a table can publish it."),
				 errhint("Name only tables that the user owns, or have the publication created by "
						 "an administrator and name it in the call.")));
	raise_remote_error(control, result, psprintf("create the publication \"%s\"", publication));
}

/* Was it made for the connector with that slot, as its comment says? */
bool
is_publication_of(Connection *control, const char *publication, const char *slot_name)
{
	return PQntuples(query(control, psprintf("SELECT FROM pg_publication WHERE pubname = %s "
											 "AND obj_description(oid, 'pg_publication') = %s",
											 quote_string(publication),
											 quote_string(mark_of(slot_name))))) > 0;
}

} // namespace

bool
has_publication(Connection *control, const char *publication)
{
	return PQntuples(query(control, psprintf("SELECT FROM pg_publication WHERE pubname = %s",
											 quote_string(publication)))) > 0;
}

bool
try_make_publication(Connection *control, const char *publication, const char *slot_name,
					 int ntables, const char *const *tables)
{
	PGresult *result = nullptr;

	if (has_publication(control, publication))
		return is_publication_of(control, publication, slot_name);
	if (ntables == 0)
		result = try_create(control, publication, slot_name, "ALL TABLES");
	if (result == nullptr || has_state(result, "42501"))
		result =
			try_create(control, publication, slot_name, list_members(control, ntables, tables));
	if (PQresultStatus(result) == PGRES_COMMAND_OK)
		return true;
	/* somebody was quicker: the one code after, the other during the insert into the catalog */
	if (has_state(result, "42710") || has_state(result, "23505"))
		return false;
	raise_not_created(control, result, publication);
}

void
check_wanted_tables(Connection *control, int ntables, const char *const *tables)
{
	StringInfoData missing;

	initStringInfo(&missing);
	for (int i = 0; i < ntables; i++)
	{
		TableName table = parse_table_name(tables[i]);
		const char *sql =
			table.every
				? psprintf("SELECT FROM pg_namespace WHERE nspname = %s",
						   quote_string(table.schema))
				: psprintf("SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
						   "WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p') "
						   "AND c.relpersistence = 'p'",
						   quote_string(table.schema), quote_string(table.name));

		if (PQntuples(query(control, sql)) == 0)
			append_name(&missing, tables[i]);
	}
	if (missing.len > 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("tables do not exist at the source: %s", missing.data),
						errdetail("Ordinary and partitioned tables that are neither temporary nor "
								  "unlogged can be published."),
						errhint("Write schema.table, or schema.* for all tables of a schema; upper "
								"and lower case matter.")));
}

void
drop_publication(Connection *control, const char *publication, const char *slot_name)
{
	if (is_publication_of(control, publication, slot_name))
		execute(control, psprintf("DROP PUBLICATION IF EXISTS %s", quote_name(publication)));
}

} // namespace source
