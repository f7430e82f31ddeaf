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

char *
conflicts_text(const base::ChangeCounts &counts)
{
	StringInfoData text;

	initStringInfo(&text);
	for (const base::Counter &it : base::kConflictCounters)
		appendStringInfo(&text, "%s" INT64_FORMAT " %s", text.len > 0 ? ", " : "",
						 counts.*it.member, it.name);
	return text.data;
}

void
log_conflicts(const Route *route)
{
	ereport(LOG, (errmsg("conflicts in table \"%s\" since %X/%X: %s", route->name,
						 (uint32) (route->conflicts_lsn >> 32), (uint32) route->conflicts_lsn,
						 conflicts_text(route->conflicts)),
				  errdetail("Rows are found by: %s. The source's row was kept.",
							key_names(route->target)),
				  errhint("Something else than this connector writes to the table, or it was not "
						  "equal when changes began to come.")));
}

} // namespace

void
tell_conflicts(Route *route, const base::ChangeCounts &counts, wire::Lsn lsn)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!base::has_conflicts(counts))
		return;
	if (route->conflicts_lsn == wire::kInvalidLsn)
		route->conflicts_lsn = lsn;
	base::add_counts(&route->conflicts, counts);
	if (!TimestampDifferenceExceeds(route->conflicts_at, now, kQuietMs))
		return;
	log_conflicts(route);
	route->conflicts = {};
	route->conflicts_lsn = wire::kInvalidLsn;
	route->conflicts_at = now;
}

} // namespace worker
