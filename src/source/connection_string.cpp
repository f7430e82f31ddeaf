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

namespace source
{
namespace
{

constexpr int kMostAdditions = 16;

/* In startup options, since a walsender should have them before its first command. */
constexpr char kStreamOptions[] =
	"-c wal_sender_timeout=300000 -c synchronous_commit=local -c statement_timeout=0"
	" -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c DateStyle=ISO"
	" -c IntervalStyle=postgres -c extra_float_digits=3";

bool
is_secret(const PQconninfoOption *option)
{
	return strchr(option->dispchar, '*') != nullptr ||
		   strstr(option->keyword, "password") != nullptr ||
		   strstr(option->keyword, "secret") != nullptr ||
		   strstr(option->keyword, "_key") != nullptr || strcmp(option->keyword, "passfile") == 0 ||
		   strcmp(option->keyword, "options") == 0;
}

int
find_parameter(const Parameters &parameters, const char *keyword)
{
	for (int i = 0; i < parameters.count; i++)
	{
		if (strcmp(parameters.keywords[i], keyword) == 0)
			return i;
	}
	return -1;
}

void
set_parameter(Parameters *parameters, const char *keyword, const char *value)
{
	int index = find_parameter(*parameters, keyword);

	if (index < 0)
	{
		index = parameters->count++;
		parameters->keywords[index] = keyword;
		parameters->keywords[parameters->count] = nullptr;
		parameters->values[parameters->count] = nullptr;
	}
	parameters->values[index] = value;
}

void
set_default(Parameters *parameters, const char *keyword, const char *value)
{
	if (find_parameter(*parameters, keyword) < 0)
		set_parameter(parameters, keyword, value);
}

Parameters
allocate_parameters(int most)
{
	Parameters parameters = {};

	parameters.keywords = static_cast<const char **>(palloc0(sizeof(char *) * (most + 1)));
	parameters.values = static_cast<const char **>(palloc0(sizeof(char *) * (most + 1)));
	return parameters;
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

int
count_elements(const char *list)
{
	int count = 1;

	if (list == nullptr || list[0] == '\0')
		return 0;
	for (; *list != '\0'; list++)
		count += *list == ',';
	return count;
}

/* The element of a comma-separated list; of a list of one, that one. */
char *
take_element(const char *list, int index)
{
	if (count_elements(list) == 1)
		index = 0;
	for (; index > 0; index--)
		list = strchr(list, ',') + 1;
	return pnstrdup(list, strcspn(list, ","));
}

} // namespace

const char *
get_parameter(const Parameters &parameters, const char *keyword)
{
	int index = find_parameter(parameters, keyword);

	return index < 0 ? nullptr : parameters.values[index];
}

Parameters
parse_connection_string(const char *conninfo)
{
	int count;
	CopiedOption *options = copy_options(conninfo, &count);

	if (count < 0)
		raise_invalid_string("Write keyword=value pairs with quotes around values that contain "
							 "spaces, or a URI whose special characters are percent-encoded.");

	Parameters parameters = allocate_parameters(count + kMostAdditions);

	for (int i = 0; i < count; i++)
	{
		if (!base::is_option_allowed(options[i].keyword))
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							errmsg("connection option \"%s\" is not allowed", options[i].keyword),
							errhint("Leave it out of the connection string.")));
		set_parameter(&parameters, options[i].keyword, options[i].value);
	}

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
	return parameters;
}

void
complete_parameters(Parameters *parameters, Purpose purpose, const char *fallback_name)
{
	set_parameter(parameters, "fallback_application_name", fallback_name);
	set_parameter(parameters, "client_encoding", GetDatabaseEncodingName());

	/* A peer that is gone must be noticed within some 90 s, also while data to it is unacknowledged. */
	set_default(parameters, "keepalives", "1");
	set_default(parameters, "keepalives_idle", "30");
	set_default(parameters, "keepalives_interval", "10");
	set_default(parameters, "keepalives_count", "6");
	set_default(parameters, "tcp_user_timeout", "90000");

	if (purpose == Purpose::stream)
	{
		const char *own = get_parameter(*parameters, "options");

		set_parameter(parameters, "replication", "database");
		set_parameter(parameters, "options",
					  own == nullptr ? kStreamOptions : psprintf("%s %s", own, kStreamOptions));
	}
	else if (find_parameter(*parameters, "replication") >= 0)
		set_parameter(parameters, "replication", "false");
}

int
count_hosts(const Parameters &parameters)
{
	return Max(1, Max(count_elements(get_parameter(parameters, "host")),
					  count_elements(get_parameter(parameters, "hostaddr"))));
}

Parameters
select_host(const Parameters &parameters, int host)
{
	Parameters selected = allocate_parameters(parameters.count);
	bool several = count_hosts(parameters) > 1;

	for (int i = 0; i < parameters.count; i++)
	{
		const char *keyword = parameters.keywords[i];
		const char *value = parameters.values[i];
		bool is_list = strcmp(keyword, "host") == 0 || strcmp(keyword, "hostaddr") == 0 ||
					   strcmp(keyword, "port") == 0;

		if (several && is_list && count_elements(value) > 0)
			value = take_element(value, host);
		set_parameter(&selected, keyword, value);
	}
	return selected;
}

void
check_connection_string(const char *conninfo)
{
	(void) parse_connection_string(conninfo);
}

char *
describe_connection_string(const char *conninfo)
{
	int count;
	CopiedOption *options = copy_options(conninfo, &count);
	StringInfoData text;

	initStringInfo(&text);
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
