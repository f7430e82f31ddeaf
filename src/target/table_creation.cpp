/*
 * target/table_creation.cpp
 *
 * See table_creation.hpp.
 */
#include "target/table_creation.hpp"

#include "base/sql.hpp"

namespace target
{

void
append_column(StringInfo sql, const NewColumn &column)
{
	appendStringInfo(sql, "%s %s", quote_identifier(column.name), column.type);
	if (column.collation != nullptr)
		appendStringInfo(sql, " COLLATE %s", column.collation);
	if (column.not_null)
		appendStringInfoString(sql, " NOT NULL");
	if (column.identity != '\0')
		appendStringInfo(sql, " GENERATED %s AS IDENTITY",
						 column.identity == ATTRIBUTE_IDENTITY_ALWAYS ? "ALWAYS" : "BY DEFAULT");
	else if (column.default_value != nullptr)
		appendStringInfo(sql, " DEFAULT %s", column.default_value);
}

void
create_table(const NewTable &table)
{
	StringInfoData sql;

	if (!OidIsValid(get_namespace_oid(table.schema, true)))
		base::run_alone(psprintf("CREATE SCHEMA %s", quote_identifier(table.schema)));

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (",
					 quote_qualified_identifier(table.schema, table.name));
	for (int i = 0; i < table.ncolumns; i++)
	{
		appendStringInfoString(&sql, i > 0 ? ", " : "");
		append_column(&sql, table.columns[i]);
	}
	for (int k = 0; k < table.nkeys; k++)
		appendStringInfo(&sql, "%s%s", k > 0 ? ", " : ", PRIMARY KEY (",
						 quote_identifier(table.keys[k]));
	appendStringInfo(&sql, "%s)", table.nkeys > 0 ? ")" : "");
	base::run_alone(sql.data);
}

} // namespace target
