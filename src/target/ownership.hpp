/*
 * target/ownership.hpp
 *
 * Whose rights count while target tables are written.
 *
 *   the writer      the owner of the connector that this process works for; new tables are his
 *   the table owner  triggers, default expressions, index expressions, CHECK constraints and input
 *                    functions of a table run with his rights; the writer must be allowed to be him
 *
 * Surprising: this process itself is superuser, and becomes somebody else for each piece of work.
 */
#pragma once

#include "base/role.hpp"

namespace target
{

using base::restore_role;
using base::Role;

/* For whom this process writes, once it knows. */
void set_writer(Oid role);

/* Until restore_role() one is the owner of a table; ERROR when the writer may not be. */
Role become_owner(Oid owner);

/* The same for what the writer will own; ERROR when he may not create a table there. */
Role become_creator(const char *schema);

/*
 * ERROR when a trigger that our changes fire would run at the end of the transaction: then nobody
 * is the table's owner any more.  It may where the owner is superuser.
 */
void check_deferred_triggers(Relation rel);

} // namespace target
