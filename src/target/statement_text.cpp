/*
 * target/statement_text.cpp
 *
 * See statement_text.hpp.
 */
#include "target/statement_text.hpp"

#include "target/statement_parts.hpp"

namespace target
{
namespace
{

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

void
append_match(StringInfo sql, const TargetRelation *relation)
{
	append_key_match(sql, relation);
	append_time_bounds(sql, relation);
}

/*
 * No UPDATE leads a row of a hypertable to another chunk.  All rows are replaced, whether their time changes or not: of
 * two parts of a statement, the second would not see the rows that the first took out of the columnstore.
 */
char *
replace_text(const TargetRelation *relation, const Bitmapset *unchanged, const char *rows)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "WITH replaced AS (DELETE FROM %s t USING %s b WHERE ",
					 relation->sql_name, rows);
	append_match(&sql, relation);
	appendStringInfoString(&sql, " RETURNING ");
	append_whole_row(&sql, relation, unchanged, "b");
	appendStringInfo(&sql, ") INSERT INTO %s (", relation->insert_name);
	append_whole_row(&sql, relation, unchanged, nullptr);
	appendStringInfoString(&sql, ") OVERRIDING SYSTEM VALUE SELECT * FROM replaced");
	return sql.data;
}

/* A column of the rows that the batch's keys find, wherever they are. */
char *
read_text(const TargetRelation *relation, const char *column, const char *rows)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT t.%s FROM %s t, %s b WHERE ", column, relation->sql_name, rows);
	append_key_match(&sql, relation);
	return sql.data;
}

} // namespace

char *
lone_row_text(const TargetRelation *relation)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "(SELECT ");
	for (int i = 0; i < relation->row_shape->natts; i++)
		appendStringInfo(&sql, "%s$%d AS %s", i > 0 ? ", " : "", i + 1,
						 NameStr(TupleDescAttr(relation->row_shape, i)->attname));
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

char *
delete_text(const TargetRelation *relation, const char *rows)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s t USING %s b WHERE ", relation->sql_name, rows);
	append_match(&sql, relation);
	return sql.data;
}

char *
update_text(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys,
			const char *rows)
{
	StringInfoData sql;

	initStringInfo(&sql);
	if (relation->hypertable != nullptr && renumbers(relation, unchanged, with_keys))
		return replace_text(relation, unchanged, rows);
	if (renumbers(relation, unchanged, with_keys))
	{
		append_match(&sql, relation);
		return renumber_text(relation, unchanged, with_keys, "", rows, "b", sql.data);
	}
	appendStringInfo(&sql, "UPDATE %s t SET ", relation->sql_name);
	if (append_assignments(&sql, relation, unchanged, with_keys, "b") == 0)
	{
		/* nothing to set: the statement still has to say which rows are there */
		resetStringInfo(&sql);
		return exists_text(relation, rows);
	}
	appendStringInfo(&sql, " FROM %s b WHERE ", rows);
	append_match(&sql, relation);
	return sql.data;
}

char *
insert_text(const TargetRelation *relation, bool upsert, const char *rows)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s ", relation->insert_name);
	if (relation->ncolumns == 0)
	{
		appendStringInfo(&sql, "SELECT FROM %s b", rows);
		return sql.data;
	}
	for (int i = 0; i < relation->ncolumns; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "(", column_name(relation, i));
	appendStringInfoString(&sql, ") OVERRIDING SYSTEM VALUE SELECT ");
	for (int i = 0; i < relation->ncolumns; i++)
		appendStringInfo(&sql, "%sc%d", i > 0 ? ", " : "", i);
	appendStringInfo(&sql, " FROM %s b", rows);
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
exists_text(const TargetRelation *relation, const char *rows)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT FROM %s t, %s b WHERE ", relation->sql_name, rows);
	append_match(&sql, relation);
	return sql.data;
}

char *
locate_text(const TargetRelation *relation)
{
	return read_text(relation, column_name(relation, relation->time_column), kBatchName);
}

char *
writers_text(const TargetRelation *relation, const char *rows)
{
	return read_text(relation, "xmin", rows);
}

} // namespace target
