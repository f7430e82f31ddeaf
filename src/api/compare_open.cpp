/*
 * api/compare_open.cpp
 *
 * What the statements of a comparison are made of.  See compare.hpp.
 */
#include "api/compare.hpp"

#include "source/catalog_sql.hpp"
#include "source/result.hpp"
#include "target/hypertable.hpp"
#include "target/relation.hpp"
#include "worker/source_address.hpp"

using namespace base;

namespace api
{
namespace
{

struct TargetColumn
{
	char *type;
	bool is_builtin;
	bool is_nullable;
	char *collation; /* " COLLATE …" or "" */
};

bool
find_target_column(Oid relid, const char *name, TargetColumn *column)
{
	SqlScope scope = begin_sql();
	bool found =
		run_sql("SELECT format_type(a.atttypid, a.atttypmod), a.atttypid < 16384, "
				"NOT " HAS_NO_NULLS_SQL ", "
				"coalesce((SELECT format(' COLLATE %I.%I', n.nspname, c.collname) "
				"FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace "
				"WHERE c.oid = a.attcollation), '') "
				"FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 "
				"AND NOT a.attisdropped",
				{oid_value(relid), text_value(name)}) > 0;

	if (found)
		*column = TargetColumn{get_text(scope, 0, 1), get_bool(0, 2), get_bool(0, 3),
							   get_text(scope, 0, 4)};
	end_sql();
	return found;
}

const source::SourceColumn *
find_source_column(const source::SourceColumns &columns, const char *name)
{
	for (int i = 0; i < columns.count; i++)
		if (strcmp(columns.columns[i].name, name) == 0)
			return &columns.columns[i];
	return nullptr;
}

/* The value as its type's output function writes it, which a cast to text does not always do. */
char *
output_text(const char *expression)
{
	return psprintf("CASE WHEN %s IS NOT NULL THEN format('%%s', %s) END", expression, expression);
}

/* At the source: the column as it looks at the target. */
char *
converted(const char *column, const char *source_type, const TargetColumn &target)
{
	if (strcmp(source_type, target.type) == 0)
		return pstrdup(column);
	char *text_form = output_text(column);

	return target.is_builtin ? psprintf("(%s)::%s", text_form, target.type)
							 : psprintf("(%s)", text_form);
}

/* As text a large bytea would outgrow what a server can hold in one value. */
char *
in_digest(const char *expression, const TargetColumn &target)
{
	return psprintf(strcmp(target.type, "bytea") == 0 ? "sha256(%s)" : "%s", expression);
}

bool
is_key(const state::SyncedTable *table, const char *name, int *place)
{
	for (*place = 0; *place < table->nkey_columns; (*place)++)
		if (strcmp(table->key_columns[*place], name) == 0)
			return true;
	return false;
}

void
make_room(Side *side, int nkeys)
{
	Size size = sizeof(char *) * (Size) (nkeys + 1);

	side->key_texts = (char **) palloc0(size);
	side->key_columns = (char **) palloc0(size);
	side->key_types = (char **) palloc0(size);
}

void
set_key(Side *side, int place, const char *column, const char *expression, const char *type)
{
	side->key_texts[place] = psprintf("format('%%s', %s)", expression);
	side->key_columns[place] = pstrdup(column);
	side->key_types[place] = pstrdup(type);
}

/* How the texts of a column sort: what its collation, or else the database's, is called. */
constexpr char kOrderSql[] =
	"SELECT CASE c.collname WHEN 'default' THEN coalesce(to_jsonb(d) ->> 'datlocale', "
	"to_jsonb(d) ->> 'daticulocale', d.datcollate) ELSE c.collname::text END "
	"FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation "
	"JOIN pg_database d ON d.datname = current_database() "
	"WHERE a.attrelid = %u AND a.attname = %s";

/*
 * Where names of orders differ, so do the orders, and nearly each row would be in one range there
 * and in another here.
 */
bool
sorts_alike(const Comparison *it, const state::SyncedTable *table, Oid relid)
{
	const char *name = source::quote_string(table->key_columns[0]);
	PGresult *there =
		source::query(it->source.connection, psprintf(kOrderSql, table->source_oid, name));
	SqlScope scope = begin_sql();
	const char *here =
		run_sql(psprintf(kOrderSql, relid, name)) > 0 ? get_text(scope, 0, 1) : nullptr;

	end_sql();
	/* numbers and the like have no collation */
	if (PQntuples(there) == 0 || here == nullptr)
		return PQntuples(there) == 0 && here == nullptr;
	return strcmp(source::get_text(there, 0, 0), here) == 0;
}

/* Rows as text, keys, types: column by column for both sides at once. */
void
add_columns(Comparison *it, const state::SyncedTable *table, const source::SourceColumns &columns,
			Oid relid)
{
	StringInfoData here;
	StringInfoData there;

	initStringInfo(&here);
	initStringInfo(&there);
	for (int i = 0; i < table->ncolumns; i++)
	{
		const char *name = table->columns[i];
		const char *quoted = source::quote_name(name);
		const source::SourceColumn *column = find_source_column(columns, name);
		TargetColumn target;
		int place;

		if (column == nullptr || !find_target_column(relid, name, &target))
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("column \"%s\" does not exist on both sides", name),
							errhint("Add it to the target table, and let the connector read the "
									"publication with livesync.refresh_connector().")));
		const char *expression = converted(quoted, column->type, target);

		appendStringInfo(&there, "%s%s", i > 0 ? ", " : "", in_digest(expression, target));
		appendStringInfo(&here, "%s%s", i > 0 ? ", " : "", in_digest(quoted, target));
		if (!is_key(table, name, &place))
			continue;
		set_key(&it->source, place, quoted, expression, column->type);
		set_key(&it->target, place, quoted, quoted, target.type);
		/* operators of other types are not on the search_path */
		it->is_typed &= column->type_is_builtin && target.is_builtin;
		if (place == 0)
		{
			it->target.bound_collation = target.collation;
			it->target.may_be_null = target.is_nullable;
		}
	}
	it->source.digest =
		psprintf("hashtextextended(ROW(%s)::text COLLATE pg_catalog.\"C\", 0)", there.data);
	it->target.digest =
		psprintf("hashtextextended(ROW(%s)::text COLLATE pg_catalog.\"C\", 0)", here.data);
}

Oid
find_target(const state::SyncedTable *table)
{
	Oid schema = get_namespace_oid(table->target_schema, true);
	Oid relid = OidIsValid(schema) ? get_relname_relid(table->target_name, schema) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("target table \"%s.%s\" does not exist", table->target_schema,
							   table->target_name)));
	return relid;
}

bool
has_children(Oid relid)
{
	return run_alone("SELECT FROM pg_class WHERE oid = $1 AND relkind = 'r' AND relhassubclass",
					 {oid_value(relid)}) > 0 &&
		   !target::is_hypertable(relid);
}

char *
source_relation(source::Connection *connection, const state::SyncedTable *table)
{
	PGresult *result = source::query(
		connection, psprintf("SELECT relkind FROM pg_class WHERE oid = %u", table->source_oid));

	if (PQntuples(result) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("table \"%s.%s\" does not exist any more at the source",
							   table->source_schema, table->source_name)));
	return psprintf("%s%s", source::get_char(result, 0, 0) == 'p' ? "" : "ONLY ",
					source::quote_table(table->source_schema, table->source_name));
}

} // namespace

Comparison
open_comparison(const state::Connector *connector, const state::SyncedTable *table)
{
	Comparison it{};
	Oid relid = find_target(table);

	it.source.connection = source::open_connection(worker::address_of(connector),
												   connector->slot_name, source::Purpose::control);
	(void) source::query(it.source.connection, "SELECT set_config('TimeZone', 'UTC', false), "
											   "set_config('bytea_output', 'hex', false), "
											   "set_config('xmlbinary', 'base64', false)");
	it.nkeys = table->nkey_columns;
	make_room(&it.source, it.nkeys);
	make_room(&it.target, it.nkeys);
	it.source.relation = source_relation(it.source.connection, table);
	it.source.filter = table->row_filter ? psprintf("(%s)", table->row_filter) : pstrdup("true");
	it.target.relation = psprintf("%s%s", has_children(relid) ? "ONLY " : "",
								  source::quote_table(table->target_schema, table->target_name));
	it.target.filter = pstrdup("true");
	it.is_typed = true;
	add_columns(&it, table, source::read_columns(it.source.connection, table->source_oid), relid);
	it.is_ranged = it.nkeys > 0 && it.is_typed && sorts_alike(&it, table, relid);
	return it;
}

} // namespace api
