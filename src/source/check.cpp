/*
 * source/check.cpp
 *
 * The list, and what tells one pooler from another.  See check.hpp.
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

constexpr PoolerTrait kPoolers[] = {
	{"pooler.supabase.com", nullptr, "Supavisor, the pooler of Supabase"},
	{"-pooler.", nullptr, "PgBouncer, as Neon runs it"},
	{".proxy-", nullptr, "Amazon RDS Proxy"},
	{nullptr, "6432", "PgBouncer, Odyssey or PgCat"},
	{nullptr, "6543", "Supavisor or PgBouncer"},
	{nullptr, "9999", "Pgpool-II"},
};

struct PoolerWords
{
	const char *words; /* in what it answers to a walsender's start */
	const char *name;
};

constexpr PoolerWords kRefusals[] = {
	{"unsupported startup parameter", "PgBouncer"},
	{"unsupported options startup parameter", "PgBouncer"},
	{"RDS Proxy", "Amazon RDS Proxy"},
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

char *
name_pooler_by_refusal(const char *answer)
{
	for (const PoolerWords &refusal : kRefusals)
		if (strstr(answer, refusal.words) != nullptr)
			return psprintf("By its words \"%s\" it is %s.", refusal.words, refusal.name);
	return nullptr;
}

} // namespace source
