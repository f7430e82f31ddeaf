/*
 * state/synced_table.hpp
 *
 * One source table and its target, with the state it is in.  The one enum of table states:
 *
 *            start_copying            finish_load              flip
 *   queued ────────────────► copying ─────────────► catching_up ────► streaming
 *                               └────────────┬─────────┴──────┬──────────┘
 *                                            ▼                ▼
 *                                          failed           paused
 *
 * retry_table and resume_table lead back, to catching_up where a table came from streaming.
 *
 * All functions need a transaction.  Whoever changes a row takes it FOR UPDATE first; loaders hold
 * it FOR SHARE for as long as they load, so that neither state nor generation changes under them.
 */
#pragma once

#include "state/wish.hpp"

namespace state
{

enum class TableState
{
	queued,	 /* set when listed; changes are not for us yet; the connector worker starts the copy */
	copying, /* set by the connector worker; changes go to the spool; copy workers load */
	catching_up, /* set by a copy worker after the last chunk; the spool is replayed */
	streaming,	 /* set by the connector worker only; changes are applied as they come */
	paused, /* set by the connector worker; changes go to the spool until somebody resumes it */
	failed, /* changes go to the spool until somebody retries it */
};

/* Steps within queued (publish_gate, confirm) and copying (gate, load); durable like the state. */
enum class Phase
{
	none,
	publish_gate, /* newly published: writers from before must end first (a copy worker waits) */
	confirm,	  /* then the slot must confirm past that, and the walsender must be a fresh one */
	gate,		  /* copying: writers from before the spool must end first (a copy worker waits) */
	load,		  /* copying: chunks are planned and being loaded */
	exchange, /* catching_up, a table and its shadow alike: at the same position, until a copy worker took over the differences */
};

enum class CopyMode
{
	keyed,	  /* chunks at any time, spool replayed as upserts */
	snapshot, /* all chunks under one exported snapshot */
};

struct SyncedTable
{
	int64 id;
	int connector_id;
	char *source_schema;
	char *source_name;
	Oid source_oid;
	char *target_schema;
	char *target_name;
	TableState state;
	TableState came_from; /* while paused or failed: the state to go back to */
	Phase phase;
	CopyMode mode;
	bool copy_data;
	int generation;
	char *fingerprint;
	int ncolumns;
	char **columns;
	int nkey_columns;
	char **key_columns;
	char *row_filter;
	char replica_identity;
	bool empty_at_start;
	bool load_upserts;
	Oid *binary_types; /* by column: its built-in type where COPY may be binary, else InvalidOid */
	char *exported;
	char *snapshot;
	XLogRecPtr admit_lsn;
	XLogRecPtr end_lsn;
	XLogRecPtr parked_lsn;	   /* of one that streamed before */
	TimestampTz streams_since; /* 0: it has never streamed */
	char *storage;
	int64 bytes_expected;
	int chunks_total;
	Wish wish;
	char *last_error; /* the last failure, until it is known to be mended */
	int64 shadow_of;  /* 0: none */
	int64 parked_segment;
	char *hypertable_column; /* a target that we create becomes a hypertable by it; nullptr: not */
	char *chunk_interval;	 /* of that hypertable, as text; nullptr: the default */
	char *partitions;		 /* a hash of what load_partitions() has */
};

struct SyncedTables
{
	int count;
	SyncedTable **tables;
};

enum class RowLock
{
	none,
	share,		/* loaders */
	update,		/* whoever changes it */
	try_share,	/* without waiting: no row when it is locked */
	try_update, /* the same */
};

const char *state_name(TableState state);
const char *phase_name(Phase phase);

/* "schema.table" at the source, as the views show it: palloc'ed. */
char *source_table_name(const SyncedTable *table);

/* A copy in the current memory context. */
SyncedTable *copy_table(const SyncedTable *table);

SyncedTables load_tables(int connector_id);
SyncedTables load_tables_in_gate(int connector_id);
SyncedTable *load_table(int64 id, RowLock lock); /* nullptr: gone, or locked (try_update) */

/* How the source publishes a table, as recorded when it is listed. */
struct Publication
{
	const char *schema;
	const char *name;
	Oid oid;
	const char *fingerprint;
	int ncolumns;
	const char *const *columns;
	int nkey_columns;
	const char *const *key_columns;
	const char *row_filter;
	char replica_identity;
	bool keyed; /* may be copied in chunks at any time */
	int64 bytes;
	int64 rows;
};

void add_table(int connector_id, const Publication &publication, const char *target_schema,
			   const char *target_name, bool copy_data, Phase phase);
/* Its target, if we create it, becomes a hypertable. */
void record_hypertable(int connector_id, const char *schema, const char *name, const char *column,
					   const char *chunk_interval);
/* It left the publication: nothing of it is kept but what its target holds. */
void release_table(int64 id);
/* Take over how it is published now; back to queued in a new generation when `restart`. */
void record_publication(int64 id, const Publication &publication, bool restart);

void start_copying(int64 id, bool target_is_empty);
void record_admit_lsn(int64 id, XLogRecPtr lsn);
/* No chunk in binary form any more.  False: none was wanted. */
bool copy_as_text(int64 id);
void record_plan(const SyncedTable *table, int chunks, const Oid *binary_types,
				 const char *exported, const char *snapshot);
void finish_load(int64 id, XLogRecPtr end_lsn);
void move_end_lsn(int64 id, XLogRecPtr end_lsn); /* never backwards */
void set_streaming(int64 id);
/*
 * lsn: of the commit that it met the error in.  One that streamed does not stream again before the stream has come past that:
 * the commit before it may end there, so that nothing would have been parked yet.
 */
void set_failed(int64 id, const char *error, const char *hint, XLogRecPtr lsn);
/* Back to where it failed; false when it is not failed. */
bool leave_failed(int64 id);
/*
 * Pausing: only the connector worker knows a position up to which all is applied.  A table that streamed is parked from
 * that position on.
 */
void set_paused(int64 id, XLogRecPtr applied);
/* Back to where it was paused; false when it is not paused. */
bool leave_paused(int64 id);
/*
 * Resync: a shadow is a second synced table for the same source table.  It goes through all states up to catching_up
 * with a target of its own, beside the table itself, which goes on as it is.
 */
bool may_resync(
	const SyncedTable *table); /* no copy of it is under way, and it is not held still */
bool add_shadow(int64 id);	   /* false: it has one; waits for other calls */
SyncedTable *load_shadow(int64 id, RowLock lock);
/* Both stand at `applied` here; from now on both are parked. */
void begin_exchange(const SyncedTable *table, const SyncedTable *shadow, int64 last_segment,
					XLogRecPtr applied);
/* The table is what the shadow was: what was parked for it before counts no more. */
void finish_exchange(const SyncedTable *table, const SyncedTable *shadow);
/* The table goes on as it was before the exchange. */
void leave_exchange(int64 id);
/* With all that is kept of it. */
void delete_table(int64 id);
/* Copy again from the start, in a new generation; its target must be emptied by who calls. */
void restart_copy(int64 id, bool empty_target);

} // namespace state
