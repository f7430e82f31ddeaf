/*
 * source/chunk_reader.hpp
 *
 * Reads one chunk: lock, check, COPY, and the bytes out of it.
 *
 * The order is what makes it right: COPY takes its snapshot before its lock, so a chunk that waited
 * for a rewrite would return no rows and no error.  So the ACCESS SHARE lock comes first, then the
 * check of oid, filenode and fingerprint, then the COPY, all in one READ COMMITTED READ ONLY
 * transaction (or in the exported snapshot of a one-snapshot table).
 */
#pragma once

#include "source/catalog.hpp"

namespace source
{

struct ChunkRequest
{
	Oid table;				   /* the published table */
	const char *schema, *name; /* of the published table */
	Oid leaf;
	const char *leaf_schema, *leaf_name;
	uint32 leaf_filenode;
	int64 first_block;
	int64 end_block;		 /* exclusive; -1: the whole leaf, without a ctid condition */
	const char *fingerprint; /* expected; NULL: not checked */
	int npublications;
	const char *const *publications;
	int ncolumns;
	const char *const *columns;
	const char *row_filter; /* NULL: none */
	bool binary;
	const char *snapshot; /* exported snapshot to import, or NULL */
};

enum class ChunkCheck
{
	ready,		   /* the COPY runs: read it */
	rewritten,	   /* other filenode or the leaf is gone */
	republished,   /* other fingerprint, or not published any more */
	snapshot_lost, /* the exported snapshot does not exist any more */
	lock_wanted,   /* one snapshot: somebody waits to lock the table exclusively */
};

/* Begins the remote transaction, locks, checks, and starts the COPY. On anything but ready the remote transaction is ended. */
ChunkCheck start_chunk(Connection *connection, const ChunkRequest &request);

/*
 * The next piece of COPY data: > 0 bytes at *data (valid until the next call, or release_copy_data()), 0 at the end (the
 * COPY's result is then checked), -1 when it failed: the error is in the connection, raise it with raise_chunk_error.  Never
 * raises by itself and never runs interrupt handlers, since it is called through stdio: when an interrupt is pending it
 * returns -1 as well.
 */
int next_piece(Connection *connection, const char **data);
[[noreturn]] void raise_chunk_error(Connection *connection);

/* End the remote transaction (after the end of the COPY, or to give up: then cancels what runs). */
void finish_chunk(Connection *connection);
void abandon_chunk(Connection *connection);

/*
 * One-snapshot tables: lock the table and its leaves ACCESS SHARE, then begin REPEATABLE READ, export.  The lock must
 * be older than the snapshot, or a rewrite in between empties the table for it without an error.  The
 * transaction stays open until close_connection().  The name is NULL when somebody else
 * locks the table exclusively, or waits to: try again later.
 */
struct ExportedSnapshot
{
	char *name;		/* for SET TRANSACTION SNAPSHOT */
	char *snapshot; /* pg_current_snapshot()::text */
};
ExportedSnapshot export_snapshot(Connection *connection, Oid table, const char *schema,
								 const char *name);

/*
 * Fetch one row by its key from the table as it is now.  Texts, a nullptr for NULL.  The answer says something of a change
 * only if the change's transaction is visible in `snapshot` (pg_current_snapshot() of the same statement), and only if it is
 * the same table still that has the name.
 */
struct FetchedRow
{
	char *snapshot;
	Oid table;
	bool found;
	char **values; /* in the order of `columns`; nullptr when not found */
};
FetchedRow fetch_row(Connection *control, const char *schema, const char *name, int ncolumns,
					 const char *const *columns, int nkeys, const char *const *key_columns,
					 const char *const *key_values, const char *row_filter);

} // namespace source
