/*
 * worker/copier.hpp
 *
 * The state of one copy worker, shared by the files that make it up:
 *
 *   copy_main   begins, looks for work, ends
 *   gates       writers from before, who are waited for
 *   plan        the chunks of a table; its exported snapshot
 *   load        one chunk; its rows: load_rows
 *   finish      the end of a table's load; long spools
 *   indexes     of the tables that we created
 *   analyze     of what was loaded, when there is nothing else to do
 *   skip        drops the change that makes a table fail, when a call asks for it
 *
 * A copy worker owns nothing that must survive: claims are row locks and advisory locks, and end with it.
 */
#pragma once

#include "source/chunk_reader.hpp"
#include "source/gate.hpp"
#include "state/connector.hpp"
#include "state/ledger.hpp"
#include "state/synced_table.hpp"

namespace worker
{

/* A table whose writers from before this worker waits for. */
struct WaitingGate
{
	int64 table_id;
	int generation;
	state::Phase phase;
	source::Gate gate;
	MemoryContext context;
	WaitingGate *next;
};

/* A snapshot that this worker keeps open for a table's chunks. */
struct HeldSnapshot
{
	int64 table_id;
	int generation;
	source::Connection *connection;
	MemoryContext context;
	HeldSnapshot *next;
};

struct Copier
{
	state::Connector *config;
	source::Connection *connection;
	MemoryContext context;
	MemoryContext turn;
	WaitingGate *gates;
	HeldSnapshot *snapshots;
	TimestampTz gates_at;
	bool is_held_up; /* in this turn: a table that it could not finish yet */
};

/*
 * A piece of work in one transaction, its memory that of the turn.  At the end it is committed, and the
 * connector worker told, or rolled back; returns is_done.
 */
MemoryContext begin_piece(const Copier *copier);
bool end_piece(MemoryContext before, bool is_done);

/* Each does one piece of work if there is some: true when it did. */
bool poll_gates(Copier *copier);
bool load_one_chunk(Copier *copier);
bool finish_one_table(Copier *copier);
bool build_one_index(Copier *copier);
bool drain_one_table(Copier *copier);
bool exchange_one_table(Copier *copier); /* resync.cpp */
bool analyze_one_table(Copier *copier);
bool skip_one_change(Copier *copier);
void release_finished_snapshots(Copier *copier);

enum class PlanResult
{
	made,	   /* the chunks of the table are recorded */
	later,	   /* the table is locked at the source */
	restarted, /* the copy starts over */
};

PlanResult plan_copy(Copier *copier, const state::SyncedTable *table);

/* Replays the spool of a table whose row is held, up to most_segments (0: all). True: commit; it may have failed. */
bool drain_locked(const Copier *copier, state::SyncedTable *table, int most_segments);

/* Writes the table off to start over: it goes back to queued, and why is told in events. */
void restart_table(const Copier *copier, const state::SyncedTable *table, const char *why);

} // namespace worker
