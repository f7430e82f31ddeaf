/*
 * source/gate.cpp
 *
 * See gate.hpp.
 *
 *   open:  all holders now ─► list          poll:  list ∩ holders now ─► list;  empty: passed
 *
 * Surprising: a listed session may turn into a prepared transaction between two polls, which older
 * minors (and every server after a restart) show under a new virtualtransaction "-1/xid".  So while
 * sessions are on the list, such newcomers are taken onto it.  Once only prepared transactions are
 * left, no newcomer can descend from them; so the wait ends also where there is always some other
 * prepared transaction.
 */
#include "source/gate.hpp"

#include "source/partition_tree.hpp"
#include "source/result.hpp"
#include "source/sessions.hpp"

namespace source
{
namespace
{

/* The list's names are of the form "3/45", so a comma separates them. */
constexpr char kHoldersSql[] = R"(,
held AS MATERIALIZED (
	SELECT DISTINCT l.virtualtransaction AS name, l.pid
	FROM pg_locks l JOIN tree t ON t.relid = l.relation
	WHERE l.locktype = 'relation' AND l.granted
		AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
		AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
			'AccessExclusiveLock')
		AND l.pid IS DISTINCT FROM pg_backend_pid()
),
waited AS MATERIALIZED (
	SELECT h.* FROM held h WHERE %s
),
described AS (
	SELECT w.name, %s AS text, row_number() OVER (ORDER BY a.xact_start, w.name) AS place
	FROM waited w
	LEFT JOIN pg_stat_activity a ON a.pid = w.pid
	LEFT JOIN (pg_locks o JOIN pg_prepared_xacts x ON x.transaction = o.transactionid)
		ON w.pid IS NULL AND o.locktype = 'transactionid' AND o.granted AND o.pid IS NULL
		AND o.virtualtransaction = w.name
)
SELECT string_agg(DISTINCT name, ','),
	string_agg(text, ', ' ORDER BY place) FILTER (WHERE place <= 5)
		|| CASE WHEN count(*) > 5 THEN format(' and %%s more', count(*) - 5) ELSE '' END
FROM described)";

Gate
look(Connection *control, Oid table, const char *condition)
{
	Gate gate = {};
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, partition_tree_sql(control, table));
	appendStringInfo(&sql, kHoldersSql, condition, kDescribeSession);

	PGresult *result = query(control, sql.data);

	gate.holders = is_null(result, 0, 0) ? pstrdup("") : get_text(result, 0, 0);
	gate.waiting_for = is_null(result, 0, 1) ? pstrdup("") : get_text(result, 0, 1);
	return gate;
}

/* Whether a name on the list is not that of a prepared transaction of the "-1/xid" kind. */
bool
lists_sessions(const char *holders)
{
	for (const char *name = holders; name != nullptr; name = strchr(name, ','))
	{
		if (*name == ',')
			name++;
		if (*name != '-')
			return true;
	}
	return false;
}

} // namespace

Gate
open_gate(Connection *control, Oid table)
{
	return look(control, table, "true");
}

bool
poll_gate(Connection *control, Oid table, Gate *gate)
{
	if (gate->holders[0] == '\0')
		return true;
	*gate =
		look(control, table,
			 psprintf("h.name = ANY (string_to_array(%s, ','))%s", quote_string(gate->holders),
					  lists_sessions(gate->holders) ? " OR (h.pid IS NULL AND h.name LIKE '-1/%')"
													: ""));
	return gate->holders[0] == '\0';
}

} // namespace source
