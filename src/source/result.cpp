/*
 * source/result.cpp
 *
 * See result.hpp.
 */
#include "source/result.hpp"

namespace source
{
namespace
{

/*
 * One element of the array's text form: in double quotes with backslashes before special
 * characters, or bare up to the next comma or brace.  Written to *place, which moves behind its end; returns where the
 * text of it ends.
 */
const char *
take_element(const char *text, char **place)
{
	bool quoted = *text == '"';

	if (quoted)
		text++;
	while (*text != '\0' && (quoted ? *text != '"' : *text != ',' && *text != '}'))
	{
		if (*text == '\\' && text[1] != '\0')
			text++;
		*(*place)++ = *text++;
	}
	if (quoted && *text == '"')
		text++;
	*(*place)++ = '\0';
	return text;
}

} // namespace

char *
get_text(const PGresult *result, int row, int column)
{
	return is_null(result, row, column) ? nullptr : pstrdup(PQgetvalue(result, row, column));
}

int64
get_int64(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), nullptr, 10);
}

Oid
get_oid(const PGresult *result, int row, int column)
{
	return static_cast<Oid>(strtoul(PQgetvalue(result, row, column), nullptr, 10));
}

bool
get_bool(const PGresult *result, int row, int column)
{
	return PQgetvalue(result, row, column)[0] == 't';
}

char
get_char(const PGresult *result, int row, int column)
{
	return PQgetvalue(result, row, column)[0];
}

wire::Lsn
get_lsn(const PGresult *result, int row, int column)
{
	wire::Lsn lsn = wire::kInvalidLsn;

	if (!is_null(result, row, column) && !wire::parse_lsn(PQgetvalue(result, row, column), &lsn))
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("the source sent a WAL position that is none")));
	return lsn;
}

char **
get_text_array(const PGresult *result, int row, int column, int *count)
{
	const char *text = PQgetvalue(result, row, column);
	int most = 1;

	/* At most one element for each comma, and one more. */
	for (const char *c = text; *c != '\0'; c++)
		most += *c == ',';

	/* All in one piece, which the text is long enough for: a source may have very many columns. */
	char **elements = static_cast<char **>(palloc(sizeof(char *) * most + strlen(text) + 1));
	char *place = reinterpret_cast<char *>(elements + most);

	*count = 0;
	if (*text != '{')
		return elements;
	text++;
	while (*text != '}' && *text != '\0')
	{
		elements[(*count)++] = place;
		text = take_element(text, &place);
		if (*text != ',')
			break;
		text++;
	}
	return elements;
}

char *
array_literal(int count, const char *const *values)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "ARRAY[");
	for (int i = 0; i < count; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", quote_string(values[i]));
	appendStringInfoString(&sql, "]::text[]");
	return sql.data;
}

} // namespace source
