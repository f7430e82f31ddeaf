/*
 * target/statement_text.cpp
 *
 * See statement_text.hpp.
 */
#include "target/statement_text.hpp"

namespace target
{
namespace
{

const char *
column_name(const TargetRelation *relation, int index)
{
	return quote_identifier(relation->columns[index].name);
}

bool
is_key(const TargetRelation *relation, int index)
{
	for (int k = 0; k < relation->nkeys; k++)
		if (relation->keys[k] == index)
			return true;
	return false;
}

/* t.key = b.k0 AND … with the operator of the column's type: search_path has no say. */
void
append_key_match(StringInfo sql, const TargetRelation *relation)
{
	for (int k = 0; k < relation->nkeys; k++)
	{
		int index = relation->keys[k];
		const char *equality = relation->columns[index].equality;

		if (equality == nullptr)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
							errmsg("type %s of key column \"%s\" has no equality operator",
								   format_type_be(relation->columns[index].type),
								   relation->columns[index].name)));
		appendStringInfo(sql, "%st.%s %s b.k%d", k > 0 ? " AND " : "", column_name(relation, index),
						 equality, k);
	}
}

/* "c1 = b.c1, …"; GENERATED ALWAYS identity columns cannot be set. */
int
append_assignments(StringInfo sql, const TargetRelation *relation, const Bitmapset *unchanged,
				   bool with_keys, const char *format)
{
	int count = 0;

	for (int i = 0; i < relation->ncolumns; i++)
	{
		if (bms_is_member(i, unchanged) || relation->columns[i].is_always_identity ||
			(!with_keys && is_key(relation, i)))
			continue;
		appendStringInfo(sql, "%s%s = ", count++ ? ", " : "", column_name(relation, i));
		if (format == nullptr)
			appendStringInfo(sql, "EXCLUDED.%s", column_name(relation, i));
		else
			appendStringInfo(sql, "%s.c%d", format, i);
	}
	return count;
}

/*
 * All columns as one record that can be hashed and compared, NULLs being equal: columns without
 * equality or hashing go by their text.
 */
void
append_record(StringInfo sql, const TargetRelation *relation, bool of_target)
{
	appendStringInfoString(sql, "ROW(");
	for (int i = 0; i < relation->ncolumns; i++)
	{
		const TargetColumn &column = relation->columns[i];
		bool comparable = column.equality != nullptr && column.is_hashable;

		appendStringInfoString(sql, i > 0 ? ", " : "");
		if (of_target)
			appendStringInfo(sql, "t.%s", column_name(relation, i));
		else
			appendStringInfo(sql, "b.k%d", i);
		if (!comparable)
			appendStringInfoString(sql, "::pg_catalog.text");
	}
	appendStringInfoString(sql, ")");
}

/*
 * Pairs (target row, batch row): equal rows are numbered on both sides, so that each change takes
 * one of several equal rows.  The hash makes it one scan and one hash join.
 */
void
append_equal_pairs(StringInfo sql, const TargetRelation *relation)
{
	appendStringInfoString(sql,
						   "(SELECT m.place_table, m.place, w.* FROM ("
						   "SELECT s.*, pg_catalog.row_number() OVER (PARTITION BY s.h, s.r) AS n "
						   "FROM (SELECT t.tableoid AS place_table, t.ctid AS place, "
						   "x.r, pg_catalog.hash_record_extended(x.r, 0) AS h FROM ");
	appendStringInfo(sql, "%s t CROSS JOIN LATERAL (SELECT ", relation->sql_name);
	append_record(sql, relation, true);
	appendStringInfoString(sql, " AS r OFFSET 0) x) s WHERE s.h IN (SELECT "
								"pg_catalog.hash_record_extended(");
	append_record(sql, relation, false);
	appendStringInfo(sql,
					 ", 0) FROM %s b)) m JOIN (SELECT q.*, pg_catalog.row_number() OVER "
					 "(PARTITION BY q.h, q.r) AS n FROM (SELECT b.*, ",
					 kBatchName);
	append_record(sql, relation, false);
	appendStringInfoString(sql, " AS r, pg_catalog.hash_record_extended(");
	append_record(sql, relation, false);
	appendStringInfo(sql, ", 0) AS h FROM %s b) q) w ON m.h = w.h AND m.n = w.n AND m.r = w.r) p",
					 kBatchName);
}

} // namespace

char *
delete_text(const TargetRelation *relation)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s t USING %s b WHERE ", relation->sql_name, kBatchName);
	append_key_match(&sql, relation);
	return sql.data;
}

char *
update_text(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s t SET ", relation->sql_name);
	if (append_assignments(&sql, relation, unchanged, with_keys, "b") == 0)
	{
		/* nothing to set: the statement still has to say which rows are there */
		resetStringInfo(&sql);
		return exists_text(relation);
	}
	appendStringInfo(&sql, " FROM %s b WHERE ", kBatchName);
	append_key_match(&sql, relation);
	return sql.data;
}

char *
insert_text(const TargetRelation *relation, bool upsert)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s ", relation->insert_name);
	if (relation->ncolumns == 0)
	{
		appendStringInfo(&sql, "SELECT FROM %s", kBatchName);
		return sql.data;
	}
	for (int i = 0; i < relation->ncolumns; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "(", column_name(relation, i));
	appendStringInfoString(&sql, ") OVERRIDING SYSTEM VALUE SELECT ");
	for (int i = 0; i < relation->ncolumns; i++)
		appendStringInfo(&sql, "%sc%d", i > 0 ? ", " : "", i);
	appendStringInfo(&sql, " FROM %s", kBatchName);
	if (!upsert)
		return sql.data;

	appendStringInfoString(&sql, " ON CONFLICT (");
	for (int k = 0; k < relation->nkeys; k++)
		appendStringInfo(&sql, "%s%s", k > 0 ? ", " : "", column_name(relation, relation->keys[k]));
	appendStringInfoString(&sql, ") DO UPDATE SET ");
	int length = sql.len;

	if (append_assignments(&sql, relation, nullptr, false, nullptr) == 0)
	{
		sql.data[sql.len = length - (int) strlen("UPDATE SET ")] = '\0';
		appendStringInfoString(&sql, "NOTHING");
	}
	return sql.data;
}

char *
exists_text(const TargetRelation *relation)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT FROM %s t, %s b WHERE ", relation->sql_name, kBatchName);
	append_key_match(&sql, relation);
	return sql.data;
}

char *
delete_equal_text(const TargetRelation *relation)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s t USING ", relation->sql_name);
	append_equal_pairs(&sql, relation);
	appendStringInfoString(&sql, " WHERE t.tableoid = p.place_table AND t.ctid = p.place");
	return sql.data;
}

char *
update_equal_text(const TargetRelation *relation, const Bitmapset *unchanged)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s t SET ", relation->sql_name);
	if (append_assignments(&sql, relation, unchanged, true, "p") == 0)
		return pstrdup("SELECT");
	appendStringInfoString(&sql, " FROM ");
	append_equal_pairs(&sql, relation);
	appendStringInfoString(&sql, " WHERE t.tableoid = p.place_table AND t.ctid = p.place");
	return sql.data;
}

} // namespace target
