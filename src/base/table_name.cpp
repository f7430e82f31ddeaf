/*
 * base/table_name.cpp
 *
 * See table_name.hpp.
 */
#include "base/table_name.hpp"

#include "base/pg.hpp"

namespace base
{
namespace
{

/* Up to `end` outside of quotes; what is not quoted is taken literally, without case folding. */
const char *
take_part(const char *text, char end, char **part)
{
	StringInfoData value;
	bool quoted = false;

	initStringInfo(&value);
	for (; *text != '\0' && (quoted || *text != end); text++)
	{
		if (*text != '"')
			appendStringInfoChar(&value, *text);
		else if (quoted && text[1] == '"')
			appendStringInfoChar(&value, *text++);
		else
			quoted = !quoted;
	}
	*part = value.data;
	return text;
}

} // namespace

TableName
parse_table_name(const char *text)
{
	TableName table = {};
	const char *rest = take_part(text, '.', &table.schema);

	if (*rest != '.')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("table name \"%s\" has no schema", text),
				 errhint("Write schema.table or schema.*, with quotes around a name that "
						 "contains a dot.")));
	table.every = strcmp(rest + 1, "*") == 0;
	(void) take_part(rest + 1, '\0', &table.name);
	return table;
}

} // namespace base
