/*
 * source/check.cpp
 *
 * The list, and what a connection string tells of a pooler.  See check.hpp.
 */
#include "source/check.hpp"

#include "source/address.hpp"

namespace source
{
namespace
{

struct PoolerTrait
{
	const char *host; /* part of the host's name, or nullptr */
	const char *port;
	const char *name;
};

/* A pooler hides behind the server's version and messages; its address gives it away. */
constexpr PoolerTrait kPoolers[] = {
	{"pooler.supabase.com", nullptr, "Supavisor, the pooler of Supabase"},
	{"-pooler.", nullptr, "PgBouncer, as Neon runs it"},
	{".proxy-", nullptr, "Amazon RDS Proxy"},
	{nullptr, "6432", "PgBouncer, Odyssey or PgCat"},
	{nullptr, "6543", "Supavisor or PgBouncer"},
	{nullptr, "9999", "Pgpool-II"},
};

} // namespace

void
add_check(CheckList *list, const Check &check)
{
	if (list->count == list->room)
	{
		list->room = Max(32, list->room * 2);
		Check *grown = static_cast<Check *>(palloc(sizeof(Check) * list->room));

		for (int i = 0; i < list->count; i++)
			grown[i] = list->checks[i];
		list->checks = grown;
	}
	list->checks[list->count++] = check;
}

char *
name_pooler(const Address &address)
{
	Parameters parameters = resolve_address(address).parameters;
	const char *host = get_parameter(parameters, "host");
	const char *port = get_parameter(parameters, "port");

	for (const PoolerTrait &trait : kPoolers)
	{
		if (trait.host != nullptr && host != nullptr && strstr(host, trait.host) != nullptr)
			return psprintf("By its host name it is %s.", trait.name);
		if (trait.port != nullptr && port != nullptr && strcmp(port, trait.port) == 0)
			return psprintf("By its port %s it is %s.", port, trait.name);
	}
	return nullptr;
}

} // namespace source
