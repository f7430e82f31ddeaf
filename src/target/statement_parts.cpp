/*
 * target/statement_parts.cpp
 *
 * See statement_parts.hpp.
 */
#include "target/statement_parts.hpp"

namespace target
{
namespace
{

bool
is_key(const TargetRelation *relation, int index)
{
	for (int k = 0; k < relation->nkeys; k++)
		if (relation->keys[k] == index)
			return true;
	return false;
}

/* An UPDATE may not set it: a row that has another value is replaced. */
bool
is_fixed(const TargetColumn &column)
{
	return column.is_always_identity || column.is_dimension;
}

/* Columns that an UPDATE would have to set and may not. */
bool
is_renumbered(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys, int index)
{
	return is_fixed(relation->columns[index]) && !bms_is_member(index, unchanged) &&
		   (with_keys || !is_key(relation, index));
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

} // namespace

const char *
column_name(const TargetRelation *relation, int index)
{
	return quote_identifier(relation->columns[index].name);
}

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

bool
renumbers(const TargetRelation *relation, const Bitmapset *unchanged, bool with_keys)
{
	for (int i = 0; i < relation->ncolumns; i++)
		if (is_renumbered(relation, unchanged, with_keys, i))
			return true;
	return false;
}

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
	if (pairs[0] != '\0')
		appendStringInfoString(&sql, "SELECT * FROM found");
	else
		appendStringInfoString(&sql, "SELECT 1 FROM inserted UNION ALL SELECT 1 FROM updated");
	return sql.data;
}

} // namespace target
