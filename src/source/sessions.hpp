/*
 * source/sessions.hpp
 *
 * How a session or a prepared transaction of the source is told to people.
 */
#pragma once

namespace source
{

/*
 * An SQL expression over the aliases a (pg_stat_activity) and x (pg_prepared_xacts), either of
 * which may be all NULL: "pid 1234 (psql, idle in transaction since 3 s, xid 789)".  Names are missing when
 * our user may not see them.
 */
constexpr char kDescribeSession[] = R"(
	CASE WHEN x.gid IS NOT NULL THEN
		format('prepared transaction %L (%s, since %s s)', x.gid, x.owner,
			extract(epoch FROM clock_timestamp() - x.prepared)::bigint)
	WHEN a.pid IS NOT NULL THEN
		format('pid %s (%s)', a.pid, concat_ws(', ',
			coalesce(nullif(a.application_name, ''), a.usename),
			coalesce(nullif(a.state, 'active'), 'running') || ' since '
				|| greatest(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::bigint
				|| ' s',
			'xid ' || a.backend_xid))
	ELSE 'a prepared transaction' END)";

} // namespace source
