/*
 * source/connection_string.cpp
 *
 * See connection_string.hpp.
 *
 * Out of here no piece of the string leaves in a message: libpq quotes what it could not parse,
 * and that is often the second half of a password.  For the same reason a URI in which a password
 * seems to have slipped into the host, port or database is refused: libpq would accept it and then
 * name that "host" in its error.
 */
#include "source/connection_string.hpp"

#include "base/compat.hpp"
#include "source/foreign_server.hpp"

namespace source
{
namespace
{

bool
is_secret(const PQconninfoOption *option)
{
	return strchr(option->dispchar, '*') != nullptr ||
		   strstr(option->keyword, "password") != nullptr ||
		   strstr(option->keyword, "secret") != nullptr ||
		   strstr(option->keyword, "_key") != nullptr || strcmp(option->keyword, "passfile") == 0 ||
		   strcmp(option->keyword, "options") == 0;
}

bool
is_list_of_numbers(const char *text)
{
	return strspn(text, "0123456789, ") == strlen(text);
}

/* Of an unencoded @, : or / in a URI's password the rest lands in one of these. */
bool
has_misplaced_password(const Parameters &parameters)
{
	const char *host = get_parameter(parameters, "host");
	const char *port = get_parameter(parameters, "port");
	const char *dbname = get_parameter(parameters, "dbname");

	return (host != nullptr && host[0] != '\0' && strchr(host + 1, '@') != nullptr) ||
		   (port != nullptr && !is_list_of_numbers(port)) ||
		   (dbname != nullptr && strchr(dbname, '@') != nullptr);
}

[[noreturn]] void
raise_invalid_string(const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid connection string"),
					errdetail("It is not shown here because it may contain a password."),
					errhint("%s", hint)));
}

/* PQconninfoParse(), whose result is copied into our memory at once so that nothing can leak. */
PQconninfoOption *
parse_options(const char *conninfo)
{
	char *error = nullptr;
	PQconninfoOption *options = PQconninfoParse(conninfo, &error);

	if (error != nullptr)
		PQfreemem(error);
	return options;
}

struct CopiedOption
{
	char *keyword;
	char *value;
	bool secret;
};

/* The options that have a value; *count is -1 when the string cannot be parsed. */
CopiedOption *
copy_options(const char *conninfo, int *count)
{
	/* The longest value is no longer than the whole string, so one block suffices for all. */
	Size size = strlen(conninfo) * 2 + 64 * 1024;
	char *text = static_cast<char *>(palloc(size));
	char *end = text + size;
	constexpr int kMost = 256;
	CopiedOption *copies = static_cast<CopiedOption *>(palloc(sizeof(CopiedOption) * kMost));
	PQconninfoOption *options = parse_options(conninfo);

	*count = -1;
	if (options == nullptr)
		return copies;
	*count = 0;
	for (PQconninfoOption *option = options; option->keyword != nullptr; option++)
	{
		Size keyword_size = strlen(option->keyword) + 1;
		Size value_size = option->val == nullptr ? 0 : strlen(option->val) + 1;

		if (option->val == nullptr || *count == kMost ||
			keyword_size + value_size > static_cast<Size>(end - text))
			continue;
		copies[*count].secret = is_secret(option);
		copies[*count].keyword = static_cast<char *>(memcpy(text, option->keyword, keyword_size));
		text += keyword_size;
		copies[*count].value = static_cast<char *>(memcpy(text, option->val, value_size));
		text += value_size;
		(*count)++;
	}
	PQconninfoFree(options);
	return copies;
}

Parameters
to_parameters(const CopiedOption *options, int count)
{
	Parameters parameters = allocate_parameters(count);

	for (int i = 0; i < count; i++)
		set_parameter(&parameters, options[i].keyword, options[i].value);
	return parameters;
}

} // namespace

Parameters
parse_connection_string(const char *conninfo)
{
	int count;
	CopiedOption *options = copy_options(conninfo, &count);

	if (count < 0)
		raise_invalid_string("Write keyword=value pairs with quotes around values that contain "
							 "spaces, or a URI whose special characters are percent-encoded.");

	Parameters parameters = to_parameters(options, count);

	for (int i = 0; i < count; i++)
	{
		if (!base::is_option_allowed(options[i].keyword))
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							errmsg("connection option \"%s\" is not allowed", options[i].keyword),
							errhint("Leave it out of the connection string.")));
	}

	check_parameters(parameters);
	return parameters;
}

void
check_parameters(const Parameters &parameters)
{
	if (has_misplaced_password(parameters))
		raise_invalid_string("The host, port or database contains a character that cannot be "
							 "there.  In a URI, write @ as %40, : as %3A and / as %2F within the "
							 "password.");

	int hosts = count_hosts(parameters);
	int ports = count_elements(get_parameter(parameters, "port"));
	int names = count_elements(get_parameter(parameters, "host"));
	int addresses = count_elements(get_parameter(parameters, "hostaddr"));

	if ((names > 0 && addresses > 0 && names != addresses) || (ports > 1 && ports != hosts))
		raise_invalid_string("The lists of hosts, host addresses and ports differ in length.");
}

char *
describe_connection_string(const char *conninfo)
{
	if (is_server_name(conninfo))
		return pstrdup(conninfo);

	int count;
	CopiedOption *options = copy_options(conninfo, &count);
	StringInfoData text;

	initStringInfo(&text);
	if (count >= 0 && has_misplaced_password(to_parameters(options, count)))
		return text.data;
	for (int i = 0; i < count; i++)
	{
		if (options[i].secret)
			continue;
		appendStringInfo(&text, "%s%s='", text.len > 0 ? " " : "", options[i].keyword);
		for (const char *c = options[i].value; *c != '\0'; c++)
		{
			if (*c == '\'' || *c == '\\')
				appendStringInfoChar(&text, '\\');
			appendStringInfoChar(&text, *c);
		}
		appendStringInfoChar(&text, '\'');
	}
	return text.data;
}

} // namespace source
