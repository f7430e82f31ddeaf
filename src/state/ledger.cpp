/*
 * state/ledger.cpp
 *
 * See ledger.hpp.
 */
#include "state/ledger.hpp"

using namespace base;

namespace state
{

void
add_chunk(const Chunk &chunk)
{
	run_alone("INSERT INTO livesync.chunk (table_id, generation, number, leaf_oid, leaf_schema, "
			  "leaf_name, leaf_filenode, first_block, end_block) "
			  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
			  {bigint_value(chunk.table_id), int_value(chunk.generation), int_value(chunk.number),
			   oid_value(chunk.leaf_oid), text_value(chunk.leaf_schema),
			   text_value(chunk.leaf_name), oid_value(chunk.leaf_filenode),
			   bigint_value(chunk.first_block), bigint_value(chunk.end_block)});
}

Chunk *
claim_chunk(int connector_id, int64 table_id)
{
	SqlScope scope = begin_sql();
	Chunk *chunk = nullptr;

	if (run_sql("SELECT c.table_id, c.generation, c.number, c.leaf_oid, c.leaf_schema, "
				"c.leaf_name, c.leaf_filenode, c.first_block, c.end_block "
				"FROM livesync.chunk c JOIN livesync.synced_table t ON t.id = c.table_id "
				"AND t.generation = c.generation "
				"WHERE t.connector_id = $1 AND t.state = 'copying' AND t.phase = 'load' "
				"AND c.done_at IS NULL AND ($2 = 0 OR t.id = $2) "
				"AND NOT EXISTS (SELECT FROM livesync.wish w WHERE w.table_id = t.id) "
				"ORDER BY t.bytes_expected DESC, t.id, c.number "
				"LIMIT 1 FOR UPDATE OF c SKIP LOCKED",
				{int_value(connector_id), bigint_value(table_id)}) == 1)
	{
		chunk = (Chunk *) MemoryContextAllocZero(scope.caller, sizeof(Chunk));
		chunk->table_id = get_bigint(0, 1);
		chunk->generation = get_int(0, 2);
		chunk->number = get_int(0, 3);
		chunk->leaf_oid = get_oid(0, 4);
		chunk->leaf_schema = get_text(scope, 0, 5);
		chunk->leaf_name = get_text(scope, 0, 6);
		chunk->leaf_filenode = get_oid(0, 7);
		chunk->first_block = get_bigint(0, 8);
		chunk->end_block = get_bigint(0, 9);
	}
	end_sql();
	return chunk;
}

void
finish_chunk(const Chunk &chunk, int64 rows, int64 bytes, XLogRecPtr read_lsn)
{
	run_alone("UPDATE livesync.chunk SET rows = $4, bytes = $5, started_at = pg_catalog.now(), "
			  "done_at = pg_catalog.clock_timestamp(), read_lsn = $6 "
			  "WHERE table_id = $1 AND generation = $2 AND number = $3",
			  {bigint_value(chunk.table_id), int_value(chunk.generation), int_value(chunk.number),
			   bigint_value(rows), bigint_value(bytes), lsn_value(read_lsn)});
}

bool
was_read_behind(int64 table_id, XLogRecPtr lsn)
{
	/* end_lsn moves on with each row that is fetched once more; of one that streamed it begins where it was parked */
	return run_alone(
			   "SELECT FROM livesync.synced_table t WHERE t.id = $1 "
			   "AND (t.end_lsn > $2 AND t.end_lsn IS DISTINCT FROM t.parked_lsn OR EXISTS (SELECT FROM livesync.chunk c "
			   "WHERE c.table_id = t.id AND c.generation = t.generation "
			   "AND c.read_lsn > $2))",
			   {bigint_value(table_id), lsn_value(lsn)}) == 1;
}

bool
has_chunk_of(int64 table_id, int generation, Oid leaf)
{
	return run_alone("SELECT FROM livesync.chunk WHERE table_id = $1 AND generation = $2 "
					 "AND leaf_oid = $3 LIMIT 1",
					 {bigint_value(table_id), int_value(generation), oid_value(leaf)}) > 0;
}

int
count_open_chunks(int64 table_id, int generation)
{
	return (int) read_number("SELECT count(*) FROM livesync.chunk "
							 "WHERE table_id = $1 AND generation = $2 AND done_at IS NULL",
							 {bigint_value(table_id), int_value(generation)});
}

LoadSummary
summarize_load(int64 table_id, int generation)
{
	begin_sql();
	run_sql("SELECT coalesce(sum(rows), 0)::bigint, max(read_lsn), coalesce(1000 * extract(epoch "
			"FROM pg_catalog.clock_timestamp() - max(done_at)), 0)::bigint FROM livesync.chunk "
			"WHERE table_id = $1 AND generation = $2",
			{bigint_value(table_id), int_value(generation)});
	LoadSummary summary{get_bigint(0, 1), get_lsn(0, 2), get_bigint(0, 3)};

	end_sql();
	return summary;
}

} // namespace state
