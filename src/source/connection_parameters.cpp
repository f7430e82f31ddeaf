/*
 * source/connection_parameters.cpp
 *
 * Owns: libpq's keywords and values, what ours add to them, and lists of hosts.
 *
 * See connection_string.hpp.
 */
#include "source/connection_string.hpp"

namespace source
{
namespace
{

/* How many parameters complete_parameters() may add. */
constexpr int kMostAdditions = 16;

/*
 * In startup options, since a walsender should have them before its first command.  search_path: without it names of objects
 * (regclass) come without their schemas.
 */
constexpr char kStreamOptions[] =
	"-c wal_sender_timeout=300000 -c synchronous_commit=local -c statement_timeout=0"
	" -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c DateStyle=ISO"
	" -c IntervalStyle=postgres -c extra_float_digits=3 -c lc_monetary=C -c search_path=";

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
set_default(Parameters *parameters, const char *keyword, const char *value)
{
	if (find_parameter(*parameters, keyword) < 0)
		set_parameter(parameters, keyword, value);
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

Parameters
allocate_parameters(int count)
{
	Parameters parameters = {};
	Size size = sizeof(char *) * static_cast<Size>(count + kMostAdditions + 1);

	parameters.keywords = static_cast<const char **>(palloc0(size));
	parameters.values = static_cast<const char **>(palloc0(size));
	return parameters;
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

const char *
get_parameter(const Parameters &parameters, const char *keyword)
{
	int index = find_parameter(parameters, keyword);

	return index < 0 ? nullptr : parameters.values[index];
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

} // namespace source
