/*
 * api/ownership.cpp
 *
 * See ownership.hpp.
 */
#include "api/ownership.hpp"

#include "base/compat.hpp"

using namespace base;

namespace api
{
namespace
{

Visible
find_visible(const char *sql)
{
	Visible it{};

	it.is_all = has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
	if (it.is_all)
		return it;

	Role caller = become_extension();
	SqlScope scope = begin_sql();

	it.count = (int) run_sql(sql, {oid_value(caller.user)});
	it.ids = (int64 *) MemoryContextAlloc(scope.caller, sizeof(int64) * (Size) (it.count + 1));
	for (int i = 0; i < it.count; i++)
		it.ids[i] = get_bigint((uint64) i, 1);
	end_sql();
	restore_role(caller);
	return it;
}

} // namespace

void
require_owner(const state::Connector *connector)
{
	if (!has_privs_of_role(GetUserId(), connector->owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of connector \"%s\"", connector->name)));
}

Oid
find_new_owner(const char *name)
{
	Oid role = get_role_oid(name, false);

	check_can_give_to(role);
	return role;
}

Visible
visible_connectors()
{
	return find_visible("SELECT id::bigint FROM livesync.connector "
						"WHERE pg_catalog.pg_has_role($1, owner, 'USAGE')");
}

Visible
visible_tables()
{
	return find_visible("SELECT t.id FROM livesync.synced_table t "
						"JOIN livesync.connector c ON c.id = t.connector_id "
						"WHERE pg_catalog.pg_has_role($1, c.owner, 'USAGE')");
}

bool
is_visible(const Visible &visible, int64 id)
{
	for (int i = 0; i < visible.count; i++)
		if (visible.ids[i] == id)
			return true;
	return visible.is_all;
}

} // namespace api
