/*
 * source/quoting.cpp
 *
 * Owns: names and literals as they stand in statements for the source.
 *
 * In: names as in the catalogs, values as text.  Out: palloc'ed SQL.
 *
 * Must not know: the connection.  libpq's own quoting needs one and follows its encoding; ours is
 * the local database's on every connection, whose multibyte characters never contain ASCII bytes.
 *
 * Surprising: names are quoted always, needed or not.  Which words are reserved differs between
 * the versions of the two servers, and a list of ours would be wrong some day.
 */
#include "source/connection.hpp"

namespace source
{

char *
quote_name(const char *name)
{
	StringInfoData quoted;

	initStringInfo(&quoted);
	appendStringInfoChar(&quoted, '"');
	for (; *name != '\0'; name++)
	{
		if (*name == '"')
			appendStringInfoChar(&quoted, '"');
		appendStringInfoChar(&quoted, *name);
	}
	appendStringInfoChar(&quoted, '"');
	return quoted.data;
}

char *
quote_string(const char *value)
{
	StringInfoData quoted;
	bool escaped = strchr(value, '\\') != nullptr;

	initStringInfo(&quoted);
	appendStringInfoString(&quoted, escaped ? "E'" : "'");
	for (; *value != '\0'; value++)
	{
		if (*value == '\'' || *value == '\\')
			appendStringInfoChar(&quoted, *value);
		appendStringInfoChar(&quoted, *value);
	}
	appendStringInfoChar(&quoted, '\'');
	return quoted.data;
}

char *
quote_table(const char *schema, const char *name)
{
	return psprintf("%s.%s", quote_name(schema), quote_name(name));
}

} // namespace source
