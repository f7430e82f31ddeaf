/*
 * target/equal_rows_text.cpp
 *
 * Statements for tables without a key, where a row is found by all its columns.  See statement_text.hpp.
 */
#include "target/statement_text.hpp"

#include "target/statement_parts.hpp"

namespace target
{
namespace
{

/*
 * All columns as one record that can be hashed and compared, NULLs being equal: columns whose equality cannot be hashed,
 * or lets pass what is not the same (1.0 and 1.00 may be two rows) where only the same is asked for, go by their text.
 */
void
append_record(StringInfo sql, const TargetRelation *relation, Likeness likeness, bool of_target)
{
	appendStringInfoString(sql, "ROW(");
	for (int i = 0; i < relation->ncolumns; i++)
	{
		const TargetColumn &column = relation->columns[i];
		bool comparable = likeness == Likeness::same ? column.tells_apart : column.is_hashable;

		appendStringInfoString(sql, i > 0 ? ", " : "");
		if (of_target)
			appendStringInfo(sql, "t.%s", column_name(relation, i));
		else
			appendStringInfo(sql, "b.k%d", i);
		if (!comparable)
			appendStringInfoString(sql, "::pg_catalog.text COLLATE pg_catalog.\"C\"");
	}
	appendStringInfoString(sql, ")");
}

/* Of the record: equal ones have equal hashes. */
void
append_record_hash(StringInfo sql, const TargetRelation *relation, Likeness likeness,
				   bool of_target)
{
	appendStringInfoString(sql, "pg_catalog.hash_record_extended(");
	append_record(sql, relation, likeness, of_target);
	appendStringInfoString(sql, ", 0)");
}

/*
 * The rows of the batch as q, each with its record r and hash h, equal ones numbered by n.  Their place in the batch is only
 * needed to tell which were found.
 */
void
append_numbered_batch(StringInfo sql, const TargetRelation *relation, Likeness likeness)
{
	appendStringInfoString(sql,
						   "(SELECT q.*, pg_catalog.row_number() OVER (PARTITION BY q.h, q.r) AS n "
						   "FROM (SELECT b.*, ");
	append_record(sql, relation, likeness, false);
	appendStringInfoString(sql, " AS r, ");
	append_record_hash(sql, relation, likeness, false);
	appendStringInfo(sql, " AS h%s FROM %s b) q)",
					 relation->has_look_alikes
						 ? psprintf(", pg_catalog.row_number() OVER () AS %s", kLineName)
						 : "",
					 kBatchName);
}

/* Of a type that is compared in no time, or -1. */
int
find_cheap_column(const TargetRelation *relation)
{
	for (int i = 0; i < relation->ncolumns; i++)
		switch (relation->columns[i].type)
		{
			case INT2OID:
			case INT4OID:
			case INT8OID:
			case OIDOID:
			case UUIDOID:
			case DATEOID:
			case TIMESTAMPOID:
			case TIMESTAMPTZOID:
				return i;
			default:
				break;
		}
	return -1;
}

/*
 * To hash a whole row takes longer than to read it, so most rows are told apart by one column before.  A NULL on either side says
 * nothing, then the row goes on.
 */
void
append_cheap_match(StringInfo sql, const TargetRelation *relation)
{
	int column = find_cheap_column(relation);

	if (column < 0)
		return;
	appendStringInfo(sql, "(t.%s %s ANY (SELECT b.k%d FROM %s b)) IS NOT FALSE AND ",
					 column_name(relation, column), relation->columns[column].equality, column,
					 kBatchName);
}

/*
 * Pairs (target row, batch row): equal rows are numbered on both sides, so that each change takes
 * one of several equal rows.  IS TRUE keeps the subquery out of the join: its result is hashed, and each row of the one scan is
 * looked up there, whatever the estimates say.
 */
void
append_equal_pairs(StringInfo sql, const TargetRelation *relation, Likeness likeness)
{
	appendStringInfoString(
		sql, "(SELECT m.place_table, m.place, m.writer, w.* FROM ("
			 "SELECT s.*, pg_catalog.row_number() OVER (PARTITION BY s.h, s.r) AS n "
			 "FROM (SELECT t.tableoid AS place_table, t.ctid AS place, t.xmin AS writer, ");
	append_record(sql, relation, likeness, true);
	appendStringInfoString(sql, " AS r, ");
	append_record_hash(sql, relation, likeness, true);
	appendStringInfo(sql, " AS h FROM %s t WHERE ", relation->sql_name);
	append_cheap_match(sql, relation);
	appendStringInfoChar(sql, '(');
	append_record_hash(sql, relation, likeness, true);
	appendStringInfoString(sql, " IN (SELECT ");
	append_record_hash(sql, relation, likeness, false);
	appendStringInfo(sql, " FROM %s b)) IS TRUE) s) m JOIN ", kBatchName);
	append_numbered_batch(sql, relation, likeness);
	appendStringInfoString(sql, " w ON m.h = w.h AND m.n = w.n AND m.r = w.r) p");
}

/* What is told of the rows found: who wrote each before, and which of the batch they are, when that can be asked. */
const char *
told_columns(const TargetRelation *relation)
{
	return relation->has_look_alikes ? psprintf("p.writer, p.%s", kLineName) : "p.writer";
}

/* The statement writes the rows of those pairs. */
void
append_at_place(StringInfo sql, const TargetRelation *relation)
{
	appendStringInfoString(sql, " WHERE t.tableoid = p.place_table AND t.ctid = p.place");
	if (relation->tells_writers || relation->has_look_alikes)
		appendStringInfo(sql, " RETURNING %s", told_columns(relation));
}

/*
 * The same for a hypertable, whose rows have no place while they are in the columnstore: all equal rows are deleted,
 * and those that no change takes are put back, the others as the changes made them.
 */
char *
replace_equal_text(const TargetRelation *relation, Likeness likeness, const Bitmapset *unchanged,
				   bool is_update)
{
	StringInfoData sql;
	StringInfoData columns;

	initStringInfo(&sql);
	initStringInfo(&columns);
	append_whole_row(&columns, relation, nullptr, nullptr);
	appendStringInfoString(&sql, "WITH wanted AS MATERIALIZED ");
	append_numbered_batch(&sql, relation, likeness);
	appendStringInfo(&sql, ", gone AS (DELETE FROM %s t USING wanted w WHERE w.n = 1 AND ",
					 relation->sql_name);
	append_record_hash(&sql, relation, likeness, true);
	appendStringInfoString(&sql, " = w.h AND ");
	append_record(&sql, relation, likeness, true);
	appendStringInfoString(&sql, " = w.r");
	append_time_bounds(&sql, relation);
	appendStringInfoString(&sql, " RETURNING t.*, w.h AS livesync_h, w.r AS livesync_r), pairs AS "
								 "MATERIALIZED (SELECT t.*, w.n AS livesync_n");
	if (relation->has_look_alikes)
		appendStringInfo(&sql, ", w.%s", kLineName);
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
	appendStringInfo(&sql, " SELECT %s FROM pairs WHERE livesync_n IS NOT NULL",
					 relation->has_look_alikes ? kLineName : "");
	return sql.data;
}

} // namespace

char *
delete_equal_text(const TargetRelation *relation, Likeness likeness)
{
	StringInfoData sql;

	if (relation->hypertable != nullptr)
		return replace_equal_text(relation, likeness, nullptr, false);
	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s t USING ", relation->sql_name);
	append_equal_pairs(&sql, relation, likeness);
	append_at_place(&sql, relation);
	return sql.data;
}

char *
update_equal_text(const TargetRelation *relation, Likeness likeness, const Bitmapset *unchanged)
{
	StringInfoData sql;

	if (relation->hypertable != nullptr)
		return replace_equal_text(relation, likeness, unchanged, true);
	initStringInfo(&sql);
	if (renumbers(relation, unchanged, true))
	{
		appendStringInfoString(&sql, "pairs AS MATERIALIZED (SELECT * FROM ");
		append_equal_pairs(&sql, relation, likeness);
		appendStringInfo(&sql, "), found AS (SELECT %s FROM pairs p), ", told_columns(relation));
		return renumber_text(relation, unchanged, true, sql.data, "pairs", "p",
							 "t.tableoid = p.place_table AND t.ctid = p.place");
	}
	appendStringInfo(&sql, "UPDATE %s t SET ", relation->sql_name);
	if (append_assignments(&sql, relation, unchanged, true, "p") == 0)
		return psprintf("SELECT FROM %s", kBatchName); /* nothing to set */
	appendStringInfoString(&sql, " FROM ");
	append_equal_pairs(&sql, relation, likeness);
	append_at_place(&sql, relation);
	return sql.data;
}

} // namespace target
