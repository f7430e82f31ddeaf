/*
 * state/ledger.hpp
 *
 * The ledger of the initial copy: which chunks a table was planned into and which are done.  A
 * chunk's rows and its entry commit in one transaction, so a done chunk is never read again.
 *
 * A claim is the lock on the chunk's row: it ends with the claiming transaction, however that ends.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

struct Chunk
{
	int64 table_id;
	int generation;
	int number;
	Oid leaf_oid;
	char *leaf_schema;
	char *leaf_name;
	uint32 leaf_filenode;
	int64 first_block;
	int64 end_block; /* exclusive; -1: the whole leaf */
};

void add_chunk(const Chunk &chunk);

/*
 * Claim an open chunk of the connector: of the given table, or (0) of the biggest table that has one and whose
 * chunks any worker may load.  nullptr: none is free.
 */
Chunk *claim_chunk(int connector_id, int64 table_id);
/* read_lsn: the source's insert position behind everything that the chunk saw */
void finish_chunk(const Chunk &chunk, int64 rows, int64 bytes, XLogRecPtr read_lsn);
/* Has the table rows that were read behind that position? */
bool was_read_behind(int64 table_id, XLogRecPtr lsn);
/* Is it in the plan, as a leaf? */
bool has_chunk_of(int64 table_id, int generation, Oid leaf);
int count_open_chunks(int64 table_id, int generation);

/* Of all chunks of a table, which are done. */
struct LoadSummary
{
	int64 rows;
	XLogRecPtr read_lsn; /* the last of them */
	int64 ended_ms;		 /* ago */
};

LoadSummary summarize_load(int64 table_id, int generation);

} // namespace state
