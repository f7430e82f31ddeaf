/*
 * worker/conflict_log.cpp
 *
 * Conflicts in the server log: a line for the first of a burst, then one for all that came in each minute of it.  The
 * view stats counts every one.  See connector.hpp.
 *
 * Tells the names of the columns that find a row, never values.
 */
#include "worker/connector.hpp"

namespace worker
{
namespace
{

constexpr int kQuietMs = 60000;

char *
key_names(const target::TargetRelation *relation)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int k = 0; k < relation->nkeys; k++)
		appendStringInfo(&names, "%s%s", k > 0 ? ", " : "",
						 quote_identifier(relation->columns[relation->keys[k]].name));
	return relation->nkeys > 0 ? names.data : pstrdup("all columns");
}

void
log_conflicts(const Route *route)
{
	const target::ApplyCounts &it = route->conflicts;

	ereport(
		LOG,
		(errmsg("conflicts in table \"%s\" since %X/%X: " INT64_FORMAT
				" insert_exists, " INT64_FORMAT " update_missing, " INT64_FORMAT
				" delete_missing, " INT64_FORMAT " update_exists, " INT64_FORMAT
				" update_origin_differs, " INT64_FORMAT " delete_origin_differs",
				route->name, (uint32) (route->conflicts_lsn >> 32), (uint32) route->conflicts_lsn,
				it.insert_exists, it.update_missing, it.delete_missing, it.update_exists,
				it.update_origin_differs, it.delete_origin_differs),
		 errdetail("Rows are found by: %s. The source's row was kept.", key_names(route->target)),
		 errhint("Something else than this connector writes to the table, or it was not "
				 "equal when changes began to come.")));
}

} // namespace

void
tell_conflicts(Route *route, const target::ApplyCounts &counts, wire::Lsn lsn)
{
	TimestampTz now = GetCurrentTimestamp();

	if (counts.insert_exists + counts.update_missing + counts.delete_missing +
			counts.update_exists + counts.update_origin_differs + counts.delete_origin_differs ==
		0)
		return;
	if (route->conflicts_lsn == wire::kInvalidLsn)
		route->conflicts_lsn = lsn;
	route->conflicts.insert_exists += counts.insert_exists;
	route->conflicts.update_missing += counts.update_missing;
	route->conflicts.delete_missing += counts.delete_missing;
	route->conflicts.update_exists += counts.update_exists;
	route->conflicts.update_origin_differs += counts.update_origin_differs;
	route->conflicts.delete_origin_differs += counts.delete_origin_differs;
	if (!TimestampDifferenceExceeds(route->conflicts_at, now, kQuietMs))
		return;
	log_conflicts(route);
	route->conflicts = {};
	route->conflicts_lsn = wire::kInvalidLsn;
	route->conflicts_at = now;
}

} // namespace worker
