/*
 * target/truncate.cpp
 *
 * TRUNCATE as the source sent it.  See apply.hpp.
 *
 * The tables of one message are truncated together, as foreign keys among them demand.  Where the
 * server refuses, because a table outside the set refers to one of them, their rows are deleted
 * instead: in replica role foreign keys are not enforced row by row.
 */
#include "target/apply.hpp"

#include "base/sql.hpp"
#include "base/subtransaction.hpp"

namespace target
{
namespace
{

struct Truncation
{
	TargetRelation *const *relations;
	int count;
	bool restart_identity;
};

bool
have_one_owner(const Truncation *it)
{
	for (int i = 1; i < it->count; i++)
		if (it->relations[i]->owner != it->relations[0]->owner)
			return false;
	return true;
}

void
truncate_set(void *argument)
{
	Truncation *it = (Truncation *) argument;
	StringInfoData sql;
	Role role = become_owner(it->relations[0]->owner);

	initStringInfo(&sql);
	appendStringInfoString(&sql, "TRUNCATE ");
	for (int i = 0; i < it->count; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", it->relations[i]->sql_name);
	appendStringInfoString(&sql, it->restart_identity ? " RESTART IDENTITY" : "");
	base::run_alone(sql.data);
	restore_role(role);
}

} // namespace

void
truncate_tables(TargetRelation *const *relations, int count, bool restart_identity)
{
	Truncation whole{relations, count, restart_identity};

	if (count == 0)
		return;
	if (have_one_owner(&whole))
	{
		ErrorData *error = base::run_in_subtransaction(truncate_set, &whole);

		if (error == nullptr)
			return;
		if (error->sqlerrcode != ERRCODE_FEATURE_NOT_SUPPORTED)
			ReThrowError(error);
	}
	for (int i = 0; i < count; i++)
	{
		Role role = become_owner(relations[i]->owner);

		base::run_alone(psprintf("DELETE FROM %s", relations[i]->sql_name));
		restore_role(role);
	}
}

} // namespace target
