/*
 * source/foreign_server.cpp
 *
 * See foreign_server.hpp.
 */
#include "source/foreign_server.hpp"

#include "base/compat.hpp"

namespace source
{
namespace
{

constexpr int kMostOptions = 128;

/* One of libpq's; *is_own: it says who somebody is, not where the source is. */
struct Option
{
	const char *keyword;
	bool is_own;
};

struct OptionList
{
	int count;
	Option options[kMostOptions];
};

/* Those that a connection of ours sets itself are left out. */
bool
is_for_users(const PQconninfoOption *option)
{
	return strchr(option->dispchar, 'D') == nullptr && base::is_option_allowed(option->keyword) &&
		   strcmp(option->keyword, "client_encoding") != 0 &&
		   strcmp(option->keyword, "fallback_application_name") != 0 &&
		   strcmp(option->keyword, "replication") != 0;
}

/* libpq's list is in its own memory, which nothing here may leak by an error in between: it is kept. */
const OptionList *
read_options()
{
	static OptionList list;

	if (list.count > 0)
		return &list;
	PQconninfoOption *options = PQconndefaults();

	if (options == nullptr)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	for (PQconninfoOption *it = options; it->keyword != nullptr; it++)
		if (is_for_users(it) && list.count < kMostOptions)
			list.options[list.count++] =
				Option{MemoryContextStrdup(TopMemoryContext, it->keyword),
					   strcmp(it->keyword, "user") == 0 || strchr(it->dispchar, '*') != nullptr};
	PQconninfoFree(options);
	return &list;
}

const Option *
find_option(const char *keyword)
{
	const OptionList *list = read_options();

	for (int i = 0; i < list->count; i++)
		if (strcmp(list->options[i].keyword, keyword) == 0)
			return &list->options[i];
	return nullptr;
}

bool
is_certificate(const char *keyword)
{
	return strcmp(keyword, "sslcert") == 0 || strcmp(keyword, "sslkey") == 0;
}

Parameters
to_parameters(List *options)
{
	Parameters parameters = allocate_parameters(list_length(options));
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = (DefElem *) lfirst(cell);

		if (find_option(option->defname) != nullptr)
			set_parameter(&parameters, option->defname, defGetString(option));
	}
	return parameters;
}

bool
is_password_optional(List *options)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = (DefElem *) lfirst(cell);

		if (strcmp(option->defname, kPasswordRequired) == 0)
			return !defGetBoolean(option);
	}
	return false;
}

const char *
role_name(Oid role)
{
	char *name = GetUserNameFromId(role, true);

	return name != nullptr ? name : psprintf("%u", role);
}

ForeignServer *
find_server(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);

	if (server == nullptr)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("foreign server \"%s\", the source, does not exist", name),
						errhint("Create it with FOREIGN DATA WRAPPER livesync, or give another "
								"source with livesync.alter_connector().")));
	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, kWrapperName) != 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("foreign server \"%s\" is not of foreign data wrapper \"%s\"", name,
							   kWrapperName),
						errhint("Create one that is: CREATE SERVER ... FOREIGN DATA WRAPPER "
								"livesync OPTIONS (host ..., dbname ...).")));
	return server;
}

void
require_mapping(const ForeignServer *server, Oid role)
{
	const char *name = pstrdup(quote_identifier(server->servername));

	if (!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role),
							   ObjectIdGetDatum(server->serverid)) &&
		!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
							   ObjectIdGetDatum(server->serverid)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("role \"%s\" has no user mapping for foreign server \"%s\"",
							   role_name(role), server->servername),
						errhint("CREATE USER MAPPING FOR %s SERVER %s OPTIONS (user ..., "
								"password ...).",
								quote_identifier(role_name(role)), name)));
}

} // namespace

bool
is_server_option(const char *keyword)
{
	const Option *option = find_option(keyword);

	return option != nullptr && !option->is_own;
}

bool
is_mapping_option(const char *keyword)
{
	const Option *option = find_option(keyword);

	return strcmp(keyword, kPasswordRequired) == 0 ||
		   (option != nullptr && (option->is_own || is_certificate(keyword)));
}

char *
list_options(bool (*is_wanted)(const char *keyword))
{
	const OptionList *list = read_options();
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < list->count; i++)
		if (is_wanted(list->options[i].keyword))
			appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "", list->options[i].keyword);
	return text.data;
}

bool
is_server_name(const char *source)
{
	return source[0] != '\0' && strpbrk(source, "=:/@ \t\r\n") == nullptr;
}

ServerParameters
read_foreign_server(const char *name, Oid role)
{
	ForeignServer *server = find_server(name);

	if (!base::may_use_server(server->serverid, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for foreign server \"%s\"", name),
				 errdetail("It is used for role \"%s\".", role_name(role)),
				 errhint("GRANT USAGE ON FOREIGN SERVER %s TO %s.", pstrdup(quote_identifier(name)),
						 quote_identifier(role_name(role)))));
	require_mapping(server, role);

	UserMapping *mapping = GetUserMapping(role, server->serverid);

	return ServerParameters{to_parameters(server->options), to_parameters(mapping->options),
							superuser_arg(server->owner), is_password_optional(mapping->options)};
}

} // namespace source
