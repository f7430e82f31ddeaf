/*
 * worker/sequences.cpp
 *
 * See sequences.hpp.
 */
#include "worker/sequences.hpp"

#include "source/result.hpp"

using namespace base;

namespace worker
{
namespace
{

struct Position
{
	int64 last_value;
	bool is_called; /* the next one is one step further */
};

/* The oids of the tables, and their columns; deptype i: identity, a: serial. */
PGresult *
read_owned(source::Connection *control, const state::SyncedTables &tables)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT t.number, n.nspname, c.relname, a.attname FROM (VALUES ");
	for (int i = 0; i < tables.count; i++)
		appendStringInfo(
			&sql, "%s(%d, %u::oid, %s)", i > 0 ? ", " : "", i, tables.tables[i]->source_oid,
			source::array_literal(tables.tables[i]->ncolumns, tables.tables[i]->columns));
	appendStringInfoString(
		&sql, ") t(number, relid, columns) JOIN pg_depend d ON d.refobjid = t.relid "
			  "AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass "
			  "AND d.deptype IN ('a', 'i') "
			  "JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' "
			  "JOIN pg_namespace n ON n.oid = c.relnamespace "
			  "JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
			  "WHERE a.attname = ANY (t.columns) ORDER BY t.number, a.attnum");
	return source::query(control, sql.data);
}

bool
exists_here(const state::SyncedTable *table)
{
	Oid schema = get_namespace_oid(table->target_schema, true);

	return OidIsValid(schema) && OidIsValid(get_relname_relid(table->target_name, schema));
}

/* The sequence that the column has here, quoted; nullptr: none. */
char *
find_target(const state::SyncedTable *table, const char *column)
{
	SqlScope scope = begin_sql();

	(void) run_sql(
		"SELECT pg_get_serial_sequence(format('%I.%I', $1, $2), $3) FROM pg_attribute "
		"WHERE attrelid = format('%I.%I', $1, $2)::regclass AND attname = $3 AND NOT attisdropped",
		{text_value(table->target_schema), text_value(table->target_name), text_value(column)});
	char *sequence = SPI_processed > 0 ? get_text(scope, 0, 1) : nullptr;

	end_sql();
	return sequence;
}

Position *
read_positions(source::Connection *control, const Sequences &sequences)
{
	Position *positions = (Position *) palloc0(sizeof(Position) * (Size) (sequences.count + 1));
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < sequences.count; i++)
		if (sequences.list[i].target != nullptr)
			appendStringInfo(&sql, "%sSELECT %d, last_value, is_called FROM %s",
							 sql.len > 0 ? " UNION ALL " : "", i,
							 source::quote_table(sequences.list[i].schema, sequences.list[i].name));
	if (sql.len == 0)
		return positions;
	PGresult *result = source::query(control, sql.data);

	for (int row = 0; row < PQntuples(result); row++)
		positions[source::get_int64(result, row, 0)] =
			Position{source::get_int64(result, row, 1), source::get_bool(result, row, 2)};
	return positions;
}

/* Where the sequence stands afterwards. */
int64
advance(const char *sequence, const Position &there)
{
	begin_sql();
	(void) run_sql(
		psprintf("SELECT CASE WHEN s.seqincrement > 0 "
				 "THEN (q.last_value, q.is_called) < ($1, $2) "
				 "ELSE (-q.last_value, q.is_called) < (-$1, $2) END, q.last_value "
				 "FROM %s q, pg_sequence s WHERE s.seqrelid = $3::regclass",
				 sequence),
		{bigint_value(there.last_value), bool_value(there.is_called), text_value(sequence)});
	bool is_behind = get_bool(0, 1);
	int64 here = get_bigint(0, 2);

	if (is_behind)
		(void) run_sql(
			"SELECT setval($1::regclass, $2, $3)",
			{text_value(sequence), bigint_value(there.last_value), bool_value(there.is_called)});
	end_sql();
	return is_behind ? there.last_value : here;
}

} // namespace

Sequences
find_owned_sequences(source::Connection *control, const state::SyncedTables &tables)
{
	Sequences found{};

	if (tables.count == 0)
		return found;
	PGresult *owned = read_owned(control, tables);

	found.list = (Sequence *) palloc0(sizeof(Sequence) * (Size) (PQntuples(owned) + 1));
	for (int row = 0; row < PQntuples(owned); row++)
	{
		const state::SyncedTable *table = tables.tables[source::get_int64(owned, row, 0)];

		/* A shadow is the same table once more. */
		if (table->shadow_of != 0 || !exists_here(table))
			continue;
		char *column = source::get_text(owned, row, 3);

		found.list[found.count++] =
			Sequence{source::get_text(owned, row, 1), source::get_text(owned, row, 2),
					 find_target(table, column), table, column};
	}
	return found;
}

Sequence
find_named_sequence(const state::Connector *connector, const char *name)
{
	const char *dot = strchr(name, '.');

	if (dot == nullptr || dot == name || dot[1] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
						errmsg("\"%s\" is not the name of a sequence with its schema", name),
						errhint("Write schema.sequence, as it is called at the source.")));
	char *schema = pnstrdup(name, (Size) (dot - name));
	const char *here = connector->target_schema ? connector->target_schema : schema;
	Oid namespace_oid = get_namespace_oid(here, true);
	Oid relid = OidIsValid(namespace_oid) ? get_relname_relid(dot + 1, namespace_oid) : InvalidOid;

	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_SEQUENCE)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("sequence \"%s.%s\" does not exist here", here, dot + 1),
				 errhint("Run here: CREATE SEQUENCE %s;  with the type and the increment that it "
						 "has at the source.",
						 quote_qualified_identifier(here, dot + 1))));
	return Sequence{schema, pstrdup(dot + 1), quote_qualified_identifier(here, dot + 1), nullptr,
					nullptr};
}

void
advance_sequences(source::Connection *control, const Sequences &sequences,
				  void (*done)(void *argument, const Sequence *sequence, int64 value),
				  void *argument)
{
	Position *positions = read_positions(control, sequences);

	for (int i = 0; i < sequences.count; i++)
		if (sequences.list[i].target != nullptr)
			done(argument, &sequences.list[i], advance(sequences.list[i].target, positions[i]));
}

} // namespace worker
