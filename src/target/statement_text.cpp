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

/* Of a hypertable: between the parameters, so that no other chunk is looked at or taken out of the columnstore. */
void
append_time_bounds(StringInfo sql, const TargetRelation *relation)
{
	if (relation->time_column < 0)
		return;
	const char *name = column_name(relation, relation->time_column);

	appendStringInfo(sql,
					 " AND t.%s OPERATOR(pg_catalog.>=) $1 AND t.%s OPERATOR(pg_catalog.<=) $2",
					 name, name);
}

void
append_match(StringInfo sql, const TargetRelation *relation)
{
	append_key_match(sql, relation);
	append_time_bounds(sql, relation);
}

/* An UPDATE may not set it: a row that has another value is replaced. */
bool
is_fixed(const TargetColumn &column)
{
	return column.is_always_identity || column.is_dimension;
}

/* "c1 = b.c1, …"; GENERATED ALWAYS identity columns cannot be set. */
int
append_assignments(StringInfo sql, const TargetRelation *relation, const Bitmapset *unchanged,
				   bool with_keys, const char *format)
{
	int count = 0;

	for (int i = 0; i < relation->ncolumns; i++)
	{
		if (bms_is_member(i, unchanged) || is_fixed(relation->columns[i]) ||
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

/* Columns that an UPDATE would have to set and may not. */
bool
is_renumbered(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys, int index)
{
	return is_fixed(relation->columns[index]) && !bms_is_member(index, unchanged) &&
		   (with_keys || !is_key(relation, index));
}

bool
renumbers(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys)
{
	for (int i = 0; i < relation->ncolumns; i++)
		if (is_renumbered(relation, unchanged, with_keys, i))
			return true;
	return false;
}

/* Is a number of the target's row another than in the batch? */
void
append_is_renumbered(StringInfo sql, const TargetRelation *relation, const Bitmapset *unchanged,
					 bool with_keys, const char *from)
{
	int count = 0;

	appendStringInfoChar(sql, '(');
	for (int i = 0; i < relation->ncolumns; i++)
		if (is_renumbered(relation, unchanged, with_keys, i))
			appendStringInfo(sql, "%st.%s IS DISTINCT FROM %s.c%d", count++ > 0 ? " OR " : "",
							 column_name(relation, i), from, i);
	appendStringInfoChar(sql, ')');
}

/* Every column of the target: where `from` is given, as the row has to be afterwards. */
void
append_whole_row(StringInfo sql, const TargetRelation *relation, const Bitmapset *unchanged,
				 const char *from)
{
	int count = 0;

	for (int i = 0; i < relation->ncolumns; i++)
	{
		appendStringInfoString(sql, count++ > 0 ? ", " : "");
		if (from != nullptr && !bms_is_member(i, unchanged))
			appendStringInfo(sql, "%s.c%d", from, i);
		else
			appendStringInfo(sql, "%s%s", from != nullptr ? "t." : "", column_name(relation, i));
	}
	for (int i = 0; i < relation->nextra; i++)
		appendStringInfo(sql, "%s%s%s", count++ > 0 ? ", " : "", from != nullptr ? "t." : "",
						 quote_identifier(relation->extra_columns[i]));
}

/*
 * The numbers of a GENERATED ALWAYS AS IDENTITY column cannot be updated, but inserted: rows that
 * have another number at the source are replaced, the others updated.  `pairs` is a WITH item or
 * empty, `from` what b or p stands for, `match` pairs it with t.
 */
char *
renumber_text(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys,
			  const char *pairs, const char *from, const char *alias, const char *match)
{
	StringInfoData sql;
	StringInfoData set;

	initStringInfo(&sql);
	initStringInfo(&set);
	int assigned = append_assignments(&set, relation, unchanged, with_keys, alias);

	appendStringInfo(&sql, "WITH %sreplaced AS (DELETE FROM %s t USING %s %s WHERE %s AND ", pairs,
					 relation->sql_name, from, alias, match);
	append_is_renumbered(&sql, relation, unchanged, with_keys, alias);
	appendStringInfoString(&sql, " RETURNING ");
	append_whole_row(&sql, relation, unchanged, alias);
	appendStringInfo(&sql, "), inserted AS (INSERT INTO %s (", relation->insert_name);
	append_whole_row(&sql, relation, unchanged, nullptr);
	appendStringInfoString(&sql, ") OVERRIDING SYSTEM VALUE SELECT * FROM replaced RETURNING 1), "
								 "updated AS (");
	if (assigned > 0)
		appendStringInfo(&sql, "UPDATE %s t SET %s FROM %s %s WHERE %s AND NOT ",
						 relation->sql_name, set.data, from, alias, match);
	else
		appendStringInfo(&sql, "SELECT 1 FROM %s t, %s %s WHERE %s AND NOT ", relation->sql_name,
						 from, alias, match);
	append_is_renumbered(&sql, relation, unchanged, with_keys, alias);
	appendStringInfo(&sql, "%s) ", assigned > 0 ? " RETURNING 1" : "");
	if (pairs[0] != '\0' && relation->tells_writers)
		appendStringInfoString(&sql, "SELECT writer FROM pairs");
	else
		appendStringInfoString(&sql, "SELECT 1 FROM inserted UNION ALL SELECT 1 FROM updated");
	return sql.data;
}

/*
 * No UPDATE leads a row of a hypertable to another chunk.  All rows are replaced, whether their time changes or not: of
 * two parts of a statement, the second would not see the rows that the first took out of the columnstore.
 */
char *
replace_text(const TargetRelation *relation, const Bitmapset *unchanged)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "WITH replaced AS (DELETE FROM %s t USING %s b WHERE ",
					 relation->sql_name, kBatchName);
	append_match(&sql, relation);
	appendStringInfoString(&sql, " RETURNING ");
	append_whole_row(&sql, relation, unchanged, "b");
	appendStringInfo(&sql, ") INSERT INTO %s (", relation->insert_name);
	append_whole_row(&sql, relation, unchanged, nullptr);
	appendStringInfoString(&sql, ") OVERRIDING SYSTEM VALUE SELECT * FROM replaced");
	return sql.data;
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

/* Of the record: equal ones have equal hashes. */
void
append_record_hash(StringInfo sql, const TargetRelation *relation, bool of_target)
{
	appendStringInfoString(sql, "pg_catalog.hash_record_extended(");
	append_record(sql, relation, of_target);
	appendStringInfoString(sql, ", 0)");
}

/* The rows of the batch as q, each with its record r and hash h, equal ones numbered by n. */
void
append_numbered_batch(StringInfo sql, const TargetRelation *relation)
{
	appendStringInfoString(sql,
						   "(SELECT q.*, pg_catalog.row_number() OVER (PARTITION BY q.h, q.r) AS n "
						   "FROM (SELECT b.*, ");
	append_record(sql, relation, false);
	appendStringInfoString(sql, " AS r, ");
	append_record_hash(sql, relation, false);
	appendStringInfo(sql, " AS h FROM %s b) q)", kBatchName);
}

/*
 * Pairs (target row, batch row): equal rows are numbered on both sides, so that each change takes
 * one of several equal rows.  IS TRUE keeps the subquery out of the join: its result is hashed, and each row of the one scan is
 * looked up there, whatever the estimates say.
 */
void
append_equal_pairs(StringInfo sql, const TargetRelation *relation)
{
	appendStringInfoString(
		sql, "(SELECT m.place_table, m.place, m.writer, w.* FROM ("
			 "SELECT s.*, pg_catalog.row_number() OVER (PARTITION BY s.h, s.r) AS n "
			 "FROM (SELECT t.tableoid AS place_table, t.ctid AS place, t.xmin AS writer, ");
	append_record(sql, relation, true);
	appendStringInfoString(sql, " AS r, ");
	append_record_hash(sql, relation, true);
	appendStringInfo(sql, " AS h FROM %s t WHERE (", relation->sql_name);
	append_record_hash(sql, relation, true);
	appendStringInfoString(sql, " IN (SELECT ");
	append_record_hash(sql, relation, false);
	appendStringInfo(sql, " FROM %s b)) IS TRUE) s) m JOIN ", kBatchName);
	append_numbered_batch(sql, relation);
	appendStringInfoString(sql, " w ON m.h = w.h AND m.n = w.n AND m.r = w.r) p");
}

/* The statement writes the rows of those pairs, and says who wrote each before when that can be known. */
void
append_at_place(StringInfo sql, const TargetRelation *relation)
{
	appendStringInfo(sql, " WHERE t.tableoid = p.place_table AND t.ctid = p.place%s",
					 relation->tells_writers ? " RETURNING p.writer" : "");
}

/*
 * The same for a hypertable, whose rows have no place while they are in the columnstore: all equal rows are deleted,
 * and those that no change takes are put back, the others as the changes made them.
 */
char *
replace_equal_text(const TargetRelation *relation, const Bitmapset *unchanged, bool is_update)
{
	StringInfoData sql;
	StringInfoData columns;

	initStringInfo(&sql);
	initStringInfo(&columns);
	append_whole_row(&columns, relation, nullptr, nullptr);
	appendStringInfoString(&sql, "WITH wanted AS MATERIALIZED ");
	append_numbered_batch(&sql, relation);
	appendStringInfo(&sql, ", gone AS (DELETE FROM %s t USING wanted w WHERE w.n = 1 AND ",
					 relation->sql_name);
	append_record_hash(&sql, relation, true);
	appendStringInfoString(&sql, " = w.h AND ");
	append_record(&sql, relation, true);
	appendStringInfoString(&sql, " = w.r");
	append_time_bounds(&sql, relation);
	appendStringInfoString(&sql, " RETURNING t.*, w.h AS livesync_h, w.r AS livesync_r), pairs AS "
								 "MATERIALIZED (SELECT t.*, w.n AS livesync_n");
	for (int i = 0; is_update && i < relation->ncolumns; i++)
		appendStringInfo(&sql, ", w.c%d AS livesync_c%d", i, i);
	appendStringInfo(&sql,
					 " FROM (SELECT g.*, pg_catalog.row_number() OVER (PARTITION BY g.livesync_h, "
					 "g.livesync_r) AS livesync_m FROM gone g) t LEFT JOIN wanted w ON w.h = "
					 "t.livesync_h AND w.r = t.livesync_r AND w.n = t.livesync_m), back AS (INSERT "
					 "INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM pairs p WHERE "
					 "p.livesync_n IS NULL RETURNING 1)",
					 relation->insert_name, columns.data, columns.data);
	if (is_update)
	{
		appendStringInfo(&sql, ", changed AS (INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT ",
						 relation->insert_name, columns.data);
		for (int i = 0; i < relation->ncolumns; i++)
			if (bms_is_member(i, unchanged))
				appendStringInfo(&sql, "%st.%s", i > 0 ? ", " : "", column_name(relation, i));
			else
				appendStringInfo(&sql, "%st.livesync_c%d", i > 0 ? ", " : "", i);
		for (int i = 0; i < relation->nextra; i++)
			appendStringInfo(&sql, ", t.%s", quote_identifier(relation->extra_columns[i]));
		appendStringInfoString(&sql, " FROM pairs t WHERE t.livesync_n IS NOT NULL RETURNING 1)");
	}
	appendStringInfoString(&sql, " SELECT FROM pairs WHERE livesync_n IS NOT NULL");
	return sql.data;
}

/* A column of the rows that the batch's keys find, wherever they are. */
char *
read_text(const TargetRelation *relation, const char *column)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT t.%s FROM %s t, %s b WHERE ", column, relation->sql_name,
					 kBatchName);
	append_key_match(&sql, relation);
	return sql.data;
}

} // namespace

char *
delete_text(const TargetRelation *relation)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s t USING %s b WHERE ", relation->sql_name, kBatchName);
	append_match(&sql, relation);
	return sql.data;
}

char *
update_text(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys)
{
	StringInfoData sql;

	initStringInfo(&sql);
	if (relation->hypertable != nullptr && renumbers(relation, unchanged, with_keys))
		return replace_text(relation, unchanged);
	if (renumbers(relation, unchanged, with_keys))
	{
		append_match(&sql, relation);
		return renumber_text(relation, unchanged, with_keys, "", kBatchName, "b", sql.data);
	}
	appendStringInfo(&sql, "UPDATE %s t SET ", relation->sql_name);
	if (append_assignments(&sql, relation, unchanged, with_keys, "b") == 0)
	{
		/* nothing to set: the statement still has to say which rows are there */
		resetStringInfo(&sql);
		return exists_text(relation);
	}
	appendStringInfo(&sql, " FROM %s b WHERE ", kBatchName);
	append_match(&sql, relation);
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
	append_match(&sql, relation);
	return sql.data;
}

char *
locate_text(const TargetRelation *relation)
{
	return read_text(relation, column_name(relation, relation->time_column));
}

char *
writers_text(const TargetRelation *relation)
{
	return read_text(relation, "xmin");
}

char *
delete_equal_text(const TargetRelation *relation)
{
	StringInfoData sql;

	if (relation->hypertable != nullptr)
		return replace_equal_text(relation, nullptr, false);
	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s t USING ", relation->sql_name);
	append_equal_pairs(&sql, relation);
	append_at_place(&sql, relation);
	return sql.data;
}

char *
update_equal_text(const TargetRelation *relation, const Bitmapset *unchanged)
{
	StringInfoData sql;

	if (relation->hypertable != nullptr)
		return replace_equal_text(relation, unchanged, true);
	initStringInfo(&sql);
	if (renumbers(relation, unchanged, true))
	{
		appendStringInfoString(&sql, "pairs AS MATERIALIZED (SELECT * FROM ");
		append_equal_pairs(&sql, relation);
		appendStringInfoString(&sql, "), ");
		return renumber_text(relation, unchanged, true, sql.data, "pairs", "p",
							 "t.tableoid = p.place_table AND t.ctid = p.place");
	}
	appendStringInfo(&sql, "UPDATE %s t SET ", relation->sql_name);
	if (append_assignments(&sql, relation, unchanged, true, "p") == 0)
		return pstrdup("SELECT");
	appendStringInfoString(&sql, " FROM ");
	append_equal_pairs(&sql, relation);
	append_at_place(&sql, relation);
	return sql.data;
}

} // namespace target
