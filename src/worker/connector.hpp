/*
 * worker/connector.hpp
 *
 * The state of one connector worker, shared by the files that make it up:
 *
 *   connector_main    begins, loops, ends; errors
 *   source_setup      slot, publication, origin, identity of the source
 *   stream_format     text or binary values in the stream
 *   receive           stream → decoder → changes, or temporary files
 *   take_change       changes → batch, or spool, by the state of their table
 *   ahead             temporary files → changes, before the commit
 *   gather            naps under load
 *   streamed_commit   temporary files → changes, at the commit
 *   logical_message   what pg_logical_emit_message() wrote at the source → events
 *   conflict_log      tells conflicts in the server log
 *   open_target       the target of a table that streams, as the source describes it now
 *   batch             changes that wait to be applied, and how they are
 *   spooling          changes that wait in a spool
 *   commit            the local transaction and the position it proves
 *   membership        publications → synced tables
 *   own_publication   what calls want of it
 *   missed_publication  a source that cannot decode what was written while a publication was not there
 *   resync            tables that are copied again while they stream
 *   schedule          what is to be done for each table now
 *   flip              catching_up → streaming
 *   copy_jobs         keeps as many copy workers running as have something to do
 *
 * The local transaction opens when the first thing must be written and closes at the end of a source transaction; in between
 * only `commit` may end it.  Everything that is not applying runs at such an end, in transactions of its own.
 */
#pragma once

#include "source/catalog.hpp"
#include "source/stream.hpp"
#include "state/connector.hpp"
#include "state/stream_format.hpp"
#include "worker/failure.hpp"
#include "worker/registry.hpp"
#include "worker/routes.hpp"

namespace worker
{

/* A commit here and the position of the source it applied: confirmed when it is flushed. */
struct FlushMark
{
	wire::Lsn remote;
	XLogRecPtr local;
};

constexpr int kFlushMarks = 1024;

struct StreamedTransaction;
struct StreamedTransactions;

struct ConnectorWorker
{
	state::Connector *config;
	MemoryContext config_context;

	source::Connection *control;
	source::Connection *stream_connection;
	source::Stream *stream;
	MemoryContext connection_context;
	bool is_binary; /* values come in binary form */
	state::TypeList unreadable_types;

	Routes *routes;

	/* the source transaction being received */
	bool in_source_transaction;
	uint32 xid;
	wire::Lsn commit_lsn; /* of it, from its Begin */
	bool has_part;		  /* something of it has been taken */

	StreamedTransactions *streamed; /* those that are sent in pieces while they run */

	StreamedTransaction *ahead; /* the one that is applied before its commit; nullptr: none */
	TimestampTz heard_ahead_at; /* of it */
	TimestampTz ahead_after;	/* no other before */
	int64 ahead_pause_ms;		/* 0: the last one was of use */

	MemoryContext turn; /* of one turn of the loop, outside of transactions */

	/* the batch: changes in an arena, not applied yet, and the local transaction they go to */
	MemoryContext arena;
	int batch_changes;
	int batch_tables;
	size_t batch_bytes;
	size_t spool_bytes; /* spool entries that are not written yet */
	int open_targets;	/* at most: those whose table is gone are counted until the next look */
	TimestampTz batch_began;
	bool in_local_transaction;
	TimestampTz local_began;
	bool has_uncommitted; /* a whole source transaction waits for the local commit */
	wire::Lsn end_lsn;	  /* of the last whole source transaction */
	TimestampTz commit_time;

	/* gather.cpp: how many messages come, and how old they are */
	TimestampTz sent_at; /* the last one, by the source's clock, as commit_time */
	bool is_behind;		 /* the source sends what it has committed long ago */
	int64 window_messages;
	TimestampTz window_at;
	bool is_dense;	 /* the window before had many */
	bool has_napped; /* since the last commit */

	/* positions */
	wire::Lsn received;
	wire::Lsn told;				  /* of these, the source knows that */
	wire::Lsn applied;			  /* everything before it is applied here, perhaps not flushed */
	wire::Lsn origin;			  /* what the origin says */
	wire::Lsn confirmed;		  /* flushed here: the source may forget it */
	FlushMark marks[kFlushMarks]; /* a ring */
	int first_mark;
	int nmarks;
	TimestampTz feedback_at;
	TimestampTz origin_advanced_at;

	/* looks at the source */
	bool is_polling;
	uint32 polled_request;
	bool waits_to_alter;   /* a lock at the source keeps the own publication as it is */
	TimestampTz polled_at; /* when the look that is under way began */
	TimestampTz poll_at;
	TimestampTz stats_at;
	TimestampTz trimmed_at;
	TimestampTz sequences_at;
	char sequences_failure[kTextSize]; /* the error that was told last; "": none */

	/* tables */
	bool tables_changed; /* load the routes again */
	TimestampTz tables_at;
	TimestampTz housekept_at;
	wire::Lsn next_begin;	/* of the copies that wait for the stream: where the first begins */
	bool has_index_jobs;	/* perhaps for tables that stream already */
	bool needs_reconnect;	/* the walsender must forget what it knows of publications */
	size_t largest_message; /* of this connection: libpq keeps room for it */
	wire::Lsn connected_at; /* position where this walsender began */
	TimestampTz connected_since;
};

/* source_setup.cpp */
void ensure_source(ConnectorWorker *worker);
void open_stream(ConnectorWorker *worker);

/* missed_publication.cpp */
void note_missed_publication(const ConnectorWorker *worker, const ErrorData *error);
void pass_missed_publication(ConnectorWorker *worker);

/* stream_format.cpp: what is asked for, and changes that must not come in that form */
void choose_format(ConnectorWorker *worker);
void check_format(ConnectorWorker *worker, const Route *route, StreamRelation *relation);
void check_target_format(ConnectorWorker *worker, const Route *route);
/* A value could not be read; the source is asked to send it as text. */
[[noreturn]] void fall_back_from_value(ConnectorWorker *worker, const Route *route,
									   const target::ApplyFailure &failure);
bool is_format_outdated(const ConnectorWorker *worker);
void note_refused_format(const ConnectorWorker *worker, const ErrorData *error);

/* receive.cpp: false when all that is there now has been received */
bool receive_some(ConnectorWorker *worker);
void send_position(ConnectorWorker *worker, bool now);
/*
 * While few messages come: a walsender that does not know that all has arrived sends a sign of life before each transaction,
 * which comes later for that.
 */
bool is_answer_due(ConnectorWorker *worker);
/* As they come. */
void take_message(ConnectorWorker *worker, std::string_view raw);
/* From a temporary file.  False: this one cannot be applied ahead, and nothing was done. */
bool take_kept_message(ConnectorWorker *worker, std::string_view raw);
void begin_source_transaction(ConnectorWorker *worker, uint32 xid, wire::Lsn commit_lsn);
void end_source_transaction(ConnectorWorker *worker, wire::Lsn end_lsn, TimestampTz commit_time);

/* take_change.cpp; raw: the message as it came, for a spool */
void take_change(ConnectorWorker *worker, const wire::Message &message, std::string_view raw);
void take_truncate(ConnectorWorker *worker, const wire::Message &message, std::string_view raw);
void take_relation(ConnectorWorker *worker, const wire::Message &message, std::string_view raw);

/* ahead.cpp */
/* Nothing is there to be received: apply some of a transaction in pieces.  False: there is nothing to do. */
bool apply_ahead(ConnectorWorker *worker);
bool fits_ahead(const ConnectorWorker *worker, const wire::Message &message, std::string_view raw);
/* Outside of a piece something has come: does it belong to the transaction? Else it falls behind. */
void go_on_ahead(ConnectorWorker *worker, const wire::Message &message);
/* Its commit has come, the rest is applied as usual. */
void end_ahead(ConnectorWorker *worker, wire::Lsn commit_lsn);
/* It is rolled back here, and applied at its commit. */
void fall_behind(ConnectorWorker *worker);
/* This process ends with an error: the next one does not try that again. */
void keep_behind(const ConnectorWorker *worker);
/* Before something is recorded with the position of the commit: if it is not known, begin again. Else nothing. */
void start_again_behind(ConnectorWorker *worker);

/* gather.cpp; many messages come, and more will be there in a moment */
bool is_dense(ConnectorWorker *worker);
/* So the end of a source transaction is no reason yet to commit. */
bool gathers(ConnectorWorker *worker);
/* The begin or the end of a transaction has come: is it an old one? */
void note_age(ConnectorWorker *worker, TimestampTz commit_time);
void nap(ConnectorWorker *worker);
/* Few messages come, and nothing is there to be received: the first change of a transaction need not wait for the others. */
bool apply_early(ConnectorWorker *worker);

/* streamed_commit.cpp */
void take_streamed_commit(ConnectorWorker *worker, const wire::StreamCommit &commit);

/* logical_message.cpp */
void take_logical_message(ConnectorWorker *worker, const wire::LogicalMessage &message);

/* conflict_log.cpp; lsn: of the first change among which they were found */
void tell_conflicts(Route *route, const base::ChangeCounts &counts, wire::Lsn lsn);

/* open_target.cpp */
target::TargetRelation *ensure_target(ConnectorWorker *worker, Route *route);

/* batch.cpp */
void add_change(ConnectorWorker *worker, Route *route, const wire::Message &message);
void flush_route(ConnectorWorker *worker, Route *route);
void flush_batch(ConnectorWorker *worker);
/* What is in the batch is forgotten. */
void empty_batch(ConnectorWorker *worker);
void truncate_routes(ConnectorWorker *worker, Route **routes, int count, bool restart_identity);
bool is_batch_full(const ConnectorWorker *worker);

/* spooling.cpp */
void spool_change(ConnectorWorker *worker, Route *route, std::string_view raw, int changes);
/* What is left in the buffers, before the local transaction ends. */
void write_all_spools(ConnectorWorker *worker);

/* commit.cpp */
void begin_local(ConnectorWorker *worker);
void commit_local(ConnectorWorker *worker);
/* The local transaction, with the position that its commit would have had: what a rollback must not leave behind. */
void abort_local();
/* The same, and nothing of it remains here either; there must be no spool entries in it. */
void roll_back_local(ConnectorWorker *worker);
bool is_batch_due(const ConnectorWorker *worker);
bool is_at_boundary(const ConnectorWorker *worker);
/* Other things than applying have waited long enough. */
bool is_housekeeping_due(const ConnectorWorker *worker);
void advance_idle(ConnectorWorker *worker, wire::Lsn position, bool now);
void note_flushed(ConnectorWorker *worker);

/* membership.cpp */
void poll_source(ConnectorWorker *worker);
void finish_poll(ConnectorWorker *worker);

/* own_publication.cpp: tables that calls want in it, or out of it */
void alter_own_publication(ConnectorWorker *worker);

/* schedule.cpp */
void reload_routes(ConnectorWorker *worker);
/* resync.cpp: the shadow is complete; false: its table cannot be exchanged now */
bool try_begin_exchange(ConnectorWorker *worker, const state::SyncedTable *shadow);

void pause_tables(ConnectorWorker *worker);	   /* those that calls want paused */
bool schedule_tables(ConnectorWorker *worker); /* false: all tables stream */

/* begin.cpp */
void start_table(ConnectorWorker *worker, Route *route); /* a queued one, as far as it can be */
/* Behind the notes of all tables that were noted just now: one question for all of them. */
void place_begins(ConnectorWorker *worker);
bool is_begin_due(const ConnectorWorker *worker);
void forget_note(Route *route);

/* flip.cpp */
/* For the lock that a table needs to begin its copy, or to stream; and until it is tried again. */
constexpr int kFlipLockMs = 100;
constexpr int kFlipPauseMs = 1000;
void try_flip(ConnectorWorker *worker, Route *route);

/* copy_jobs.cpp */
void schedule_copies(ConnectorWorker *worker);

/* sequence_turns.cpp */
void sync_sequences(ConnectorWorker *worker, TimestampTz now);

/* failure.cpp */
/*
 * Why this process begins again at the position that is applied: all that is not committed is rolled back, and the reason is
 * recorded between the two, in a transaction of its own.
 */
void begin_record();
[[noreturn]] void start_again();
/* The table failed, or a lock keeps us out of it: its changes go to its spool from there on. */
[[noreturn]] void set_table_apart(ConnectorWorker *worker, Route *route, const ErrorData *error,
								  wire::Lsn lsn);
/* Its changes go to its spool and are applied from there. */
[[noreturn]] void begin_table_catch_up(ConnectorWorker *worker, const Route *route, wire::Lsn lsn);
/* Its changes are of no use any more: it is copied again. */
[[noreturn]] void begin_table_anew(ConnectorWorker *worker, const Route *route);

} // namespace worker
