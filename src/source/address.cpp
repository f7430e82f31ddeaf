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
#include "source/foreign_server.hpp"

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

void
add_parameters(Parameters *to, const Parameters &from)
{
	for (int i = 0; i < from.count; i++)
		set_parameter(to, from.keywords[i], from.values[i]);
}

/* What a superuser has put into a server or a mapping may be used by those whom it is for. */
ResolvedAddress
resolve_server(const Address &address)
{
	ServerParameters given = read_foreign_server(address.source, address.user);
	ResolvedAddress it{allocate_parameters(given.server.count + given.mapping.count),
					   !superuser_arg(address.user) && !given.is_password_optional};

	if (it.needs_password)
	{
		if (!given.is_of_superuser)
			refuse_servers_own(given.server);
		refuse_servers_own(given.mapping);
		require_password(given.mapping);
	}
	add_parameters(&it.parameters, given.server);
	add_parameters(&it.parameters, given.mapping);
	check_parameters(it.parameters);
	return it;
}

ResolvedAddress
resolve_string(const Address &address)
{
	ResolvedAddress it{parse_connection_string(address.source), !superuser_arg(address.user)};

	if (it.needs_password)
	{
		refuse_servers_own(it.parameters);
		require_password(it.parameters);
	}
	return it;
}

ResolvedAddress
resolve(const Address &address)
{
	require_user(address.user);
	return is_server_name(address.source) ? resolve_server(address) : resolve_string(address);
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
