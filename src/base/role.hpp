/*
 * base/role.hpp
 *
 * Who one is while something is done: each switch is undone by restore_role(), or by the end of the
 * (sub)transaction when an error comes in between.
 *
 * Surprising: the settings are restored, too.  Code of users that runs as the other role (a trigger,
 * a default expression) may SET search_path, and what runs after it as superuser would then find
 * their operators.
 */
#pragma once

#include "base/pg.hpp"

namespace base
{

struct Role
{
	Oid user;
	int context;
	int settings; /* nesting level */
};

/* For our own tables, which nobody else may read: with a pinned search_path, and never for code of users. */
Role become_extension();

/*
 * For anything that may run code of that role.  It is kept from coming back to ours, unless it is
 * superuser and could do so anyway.
 */
Role become_restricted(Oid user);

void restore_role(const Role &role);

} // namespace base
