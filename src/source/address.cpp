/*
 * source/address.cpp
 *
 * See address.hpp.
 *
 * Surprising: who is superuser is in the catalogs, which can be read in a transaction only; workers
 * also connect outside of one.
 */
#include "source/address.hpp"

#include "source/credentials.hpp"

namespace source
{
namespace
{

void
require_user(Oid user)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(user)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("the role that owns the connector does not exist any more"),
						errhint("Give it another one with livesync.alter_connector(name, owner => "
								"...).")));
}

ResolvedAddress
resolve(const Address &address)
{
	require_user(address.user);

	ResolvedAddress it{parse_connection_string(address.source), !superuser_arg(address.user)};

	if (it.needs_password)
	{
		refuse_servers_own(it.parameters);
		require_password(it.parameters);
	}
	return it;
}

} // namespace

ResolvedAddress
resolve_address(const Address &address)
{
	if (IsTransactionState())
		return resolve(address);

	MemoryContext context = CurrentMemoryContext;

	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	ResolvedAddress it = resolve(address);

	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return it;
}

void
check_address(const Address &address)
{
	(void) resolve_address(address);
}

} // namespace source
