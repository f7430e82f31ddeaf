/*
 * base/role.cpp
 *
 * See role.hpp.
 */
#include "base/role.hpp"

namespace base
{
namespace
{

Role
become(Oid user, int added_context)
{
	Role role;

	GetUserIdAndSecContext(&role.user, &role.context);
	SetUserIdAndSecContext(user, role.context | added_context);
	role.settings = NewGUCNestLevel();
	return role;
}

} // namespace

Role
become_extension()
{
	Role role = become(BOOTSTRAP_SUPERUSERID, SECURITY_LOCAL_USERID_CHANGE);

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return role;
}

Role
become_restricted(Oid user)
{
	return become(user, superuser_arg(user) ? 0 : SECURITY_RESTRICTED_OPERATION);
}

void
restore_role(const Role &role)
{
	AtEOXact_GUC(false, role.settings);
	SetUserIdAndSecContext(role.user, role.context);
}

} // namespace base
