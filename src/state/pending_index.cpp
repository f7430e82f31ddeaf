/*
 * state/pending_index.cpp
 *
 * See pending_index.hpp.
 */
#include "state/pending_index.hpp"

using namespace base;

namespace state
{
namespace
{

#define INDEX_COLUMNS                                                                              \
	"SELECT p.table_id, p.number, p.name, p.definition, p.constraint_kind, p.is_deferrable, "      \
	"p.is_deferred, p.is_key, p.is_unique, p.is_built FROM livesync.pending_index p "

/*
 * $1 connector, $2 position up to which all is applied, $3 changes that make a short spool.  Who builds a unique index has its
 * table alone, so those of a table come last, and in their order.
 */
#define MAY_BE_BUILT                                                                               \
	"JOIN livesync.synced_table t ON t.id = p.table_id WHERE t.connector_id = $1 "                 \
	"AND NOT t.released "                                                                          \
	"AND NOT EXISTS (SELECT FROM livesync.wish w WHERE w.table_id = t.id) "                        \
	"AND (p.is_built AND t.state IN ('catching_up', 'streaming') "                                 \
	"OR t.state = 'catching_up' AND (NOT p.is_unique OR t.end_lsn <= $2 "                          \
	"AND NOT EXISTS (SELECT FROM livesync.pending_index o WHERE o.table_id = p.table_id "          \
	"AND NOT o.is_built AND (NOT o.is_unique OR o.number < p.number))) "                           \
	"AND coalesce((SELECT sum(s.changes) FROM livesync.spool s "                                   \
	"WHERE s.table_id = t.id AND s.generation = t.generation), 0) <= $3) "

void
read_row(const SqlScope &scope, uint64 row, PendingIndex *it)
{
	it->table_id = get_bigint(row, 1);
	it->number = get_int(row, 2);
	it->name = get_text(scope, row, 3);
	it->definition = get_text(scope, row, 4);
	it->constraint = get_char(row, 5);
	it->is_deferrable = get_bool(row, 6);
	it->is_deferred = get_bool(row, 7);
	it->is_key = get_bool(row, 8);
	it->is_unique = get_bool(row, 9);
	it->is_built = get_bool(row, 10);
}

PendingIndex *
read_first(const SqlScope &scope)
{
	PendingIndex *it = (PendingIndex *) MemoryContextAllocZero(scope.caller, sizeof(PendingIndex));

	read_row(scope, 0, it);
	return it;
}

PendingIndex *
find(const char *sql, int64 table_id)
{
	SqlScope scope = begin_sql();
	PendingIndex *it = run_sql(sql, {bigint_value(table_id)}) == 1 ? read_first(scope) : nullptr;

	end_sql();
	return it;
}

} // namespace

void
add_pending_index(const PendingIndex &index)
{
	run_alone("INSERT INTO livesync.pending_index (table_id, number, name, definition, "
			  "constraint_kind, is_deferrable, is_deferred, is_key, is_unique) "
			  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
			  {bigint_value(index.table_id), int_value(index.number), text_value(index.name),
			   text_value(index.definition), char_value(index.constraint),
			   bool_value(index.is_deferrable), bool_value(index.is_deferred),
			   bool_value(index.is_key), bool_value(index.is_unique)});
}

void
record_built(const PendingIndex &index, const char *name)
{
	run_alone("UPDATE livesync.pending_index SET is_built = true, name = $3 "
			  "WHERE table_id = $1 AND number = $2",
			  {bigint_value(index.table_id), int_value(index.number), text_value(name)});
}

void
remove_pending_index(const PendingIndex &index)
{
	run_alone("DELETE FROM livesync.pending_index WHERE table_id = $1 AND number = $2",
			  {bigint_value(index.table_id), int_value(index.number)});
}

void
forget_pending_indexes(int64 table_id)
{
	run_alone("DELETE FROM livesync.pending_index WHERE table_id = $1", {bigint_value(table_id)});
}

PendingIndex *
find_key_index(int64 table_id)
{
	return find(INDEX_COLUMNS "WHERE p.table_id = $1 AND p.is_key AND NOT p.is_built", table_id);
}

PendingIndex *
next_pending_index(int64 table_id)
{
	return find(INDEX_COLUMNS "WHERE p.table_id = $1 ORDER BY p.number LIMIT 1", table_id);
}

PendingIndexes
list_pending_indexes(int64 table_id)
{
	SqlScope scope = begin_sql();
	int count = (int) run_sql(INDEX_COLUMNS "WHERE p.table_id = $1 ORDER BY p.number",
							  {bigint_value(table_id)});
	PendingIndexes it{count, (PendingIndex *) MemoryContextAllocZero(
								 scope.caller, sizeof(PendingIndex) * (count + 1))};

	for (int i = 0; i < count; i++)
		read_row(scope, i, &it.indexes[i]);
	end_sql();
	return it;
}

PendingIndex *
claim_pending_index(int connector_id, XLogRecPtr applied, int tail_changes)
{
	SqlScope scope = begin_sql();
	PendingIndex *it =
		run_sql(INDEX_COLUMNS MAY_BE_BUILT "ORDER BY t.bytes_expected DESC, t.id, p.number "
										   "LIMIT 1 FOR UPDATE OF p SKIP LOCKED",
				{int_value(connector_id), lsn_value(applied), int_value(tail_changes)}) == 1
			? read_first(scope)
			: nullptr;

	end_sql();
	return it;
}

int
count_index_jobs(int connector_id, XLogRecPtr applied, int tail_changes)
{
	return (int) read_number(
		"SELECT count(*) FROM livesync.pending_index p " MAY_BE_BUILT,
		{int_value(connector_id), lsn_value(applied), int_value(tail_changes)});
}

bool
has_unbuilt_index(int64 table_id)
{
	return run_alone(
			   "SELECT FROM livesync.pending_index WHERE table_id = $1 AND NOT is_built LIMIT 1",
			   {bigint_value(table_id)}) > 0;
}

} // namespace state
