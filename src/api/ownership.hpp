/*
 * api/ownership.hpp
 *
 * Who may do what with a connector.
 *
 * A connector belongs to the role that created it.  Its owner, members of that role and superusers
 * may do everything with it; members of pg_monitor may look at it.  EXECUTE on a function is the
 * right to call it at all.
 *
 *   find_connector(name)            as the caller: he must be allowed to manage it
 *   base::become_extension()        from here on our own tables can be read and written
 *   … nothing that may run code of users …
 *   base::restore_role(caller)
 *
 * Surprising: the order matters.  Whoever has become the extension may do everything.
 */
#pragma once

#include "base/role.hpp"
#include "state/connector.hpp"

namespace api
{

/* ERROR unless the current user may manage it. */
void require_owner(const state::Connector *connector);

/* A role by its name, to which the current user may give things; ERROR when there is none. */
Oid find_new_owner(const char *name);

/* The connectors and tables of this database that the current user may look at. */
struct Visible
{
	bool is_all;
	int count;
	int64 *ids;
};
Visible visible_connectors();
Visible visible_tables();
bool is_visible(const Visible &visible, int64 id);

} // namespace api
