/*
 * source/provider.hpp
 *
 * Whose cloud a source runs on, as far as it matters here: nobody is superuser there, so what the
 * manual says of settings and rights is done in another place and with other words.
 *
 * A service is known by the role that only it has.  Each entry is from the service's own public
 * documentation; a service that does as the manual says needs none.
 */
#pragma once

#include "base/pg.hpp"

namespace source
{

struct Provider
{
	const char *role; /* by which it is known */
	const char *name;
	const char *wal_level;	 /* how it is made logical */
	const char *replication; /* how a user gets the right to replicate; %s: the user */
};

/* An array of all these roles, for a query. */
extern const char kProviderRoles[];

/* An array of the roles whose members may replicate without the attribute, for a query. */
extern const char kReplicationRoles[];

/* nullptr: a server like any other. */
const Provider *find_provider(const char *role);

} // namespace source
